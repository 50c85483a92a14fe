"""Which platform this is, and what it says of the function."""

from .aws_lambda import LambdaFunction, account_in_arn, function_tags, read_function
from .runtime_name import find_runtime_name

__all__ = [
    "LambdaFunction",
    "account_in_arn",
    "find_runtime_name",
    "function_tags",
    "read_function",
]
