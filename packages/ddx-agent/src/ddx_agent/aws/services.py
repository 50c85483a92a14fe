"""Secrets Manager, Systems Manager parameters and KMS: one call each."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from ddx_core.clock import WallClock, now_ns, ns_per_s

from .credentials import CredentialSource
from .errors import AwsError, denied, error_kind, is_throttled, what_to_do
from .places import endpoint, own_region, region_of
from .signing import Credentials, sign
from .transport import HttpClient


class Aws:
    """Calls in the name of the function's role. `fips` uses the FIPS endpoints."""

    def __init__(
        self, environ: Mapping[str, str], http: HttpClient, *, fips: bool | None = None, wall_clock: WallClock = now_ns
    ) -> None:
        self.region = own_region(environ)
        self.fips = self.region.startswith("us-gov-") if fips is None else fips
        self._environ = environ
        self._http = http
        self._wall_clock = wall_clock
        self._credentials = CredentialSource(environ, http, wall_clock)

    async def credentials(self) -> Credentials:
        return await self._credentials.get()

    async def secret(self, arn: str) -> str:
        """The text of a Secrets Manager secret, by ARN or name."""
        answer = await self._call(
            "secretsmanager", "secretsmanager.GetSecretValue", {"SecretId": arn}, region_of(arn, self.region)
        )
        text = answer.get("SecretString")
        if isinstance(text, str):
            return text
        return _decoded("Secrets Manager", answer.get("SecretBinary"))

    async def parameter(self, name: str) -> str:
        """The value of a Systems Manager parameter, by ARN or name, decrypted."""
        answer = await self._call(
            "ssm", "AmazonSSM.GetParameter", {"Name": name, "WithDecryption": True}, region_of(name, self.region)
        )
        parameter: Any = answer.get("Parameter")
        value: Any = parameter.get("Value") if isinstance(parameter, dict) else None  # type: ignore[union-attr]
        if not isinstance(value, str):
            raise AwsError("Systems Manager: the answer has no value")
        return value

    async def decrypt(self, ciphertext: str) -> str:
        """The text behind a base64 KMS ciphertext, encrypted without a context or, as the console does, with the function's."""
        blob = "".join(ciphertext.split())
        _check_base64(blob)
        try:
            answer = await self._call("kms", "TrentService.Decrypt", {"CiphertextBlob": blob}, self.region)
        except AwsError as error:
            name = self._environ.get("AWS_LAMBDA_FUNCTION_NAME")
            # A policy may allow decryption for this context alone, so that without it the answer is a refusal.
            if not name or (error.kind != "InvalidCiphertextException" and error.kind not in denied):
                raise
            answer = await self._decrypt_in_context(blob, name, error)
        return _decoded("KMS", answer.get("Plaintext"))

    async def _decrypt_in_context(self, blob: str, function_name: str, first: AwsError) -> dict[str, Any]:
        request = {"CiphertextBlob": blob, "EncryptionContext": {"LambdaFunctionName": function_name}}
        try:
            return await self._call("kms", "TrentService.Decrypt", request, self.region)
        except AwsError as second:
            # What is not allowed is worth more to know than that it is no such ciphertext either.
            raise (first if first.kind in denied and not second.may_pass else second) from None

    async def _call(self, service: str, target: str, request: dict[str, Any], region: str) -> dict[str, Any]:
        url = endpoint(service, region, fips=self.fips, environ=self._environ)
        action = f"{service}:{target.rpartition('.')[2]}"
        credentials = await self._credentials.get()
        headers = {
            "Host": url.partition("://")[2].partition("/")[0],
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": target,
        }
        now_s = self._wall_clock() / ns_per_s
        try:
            body = msgspec.json.encode(request)
            signed = sign(credentials, service=service, region=region, headers=headers, body=body, now_s=now_s)
        except UnicodeError:
            # Bytes in the environment that are no UTF-8.
            raise AwsError(f"{action} in {region}: the setting has characters that cannot be sent") from None
        answer = await self._http.call(action, "POST", f"{url}/", headers=signed, body=body)
        if answer.status != 200:
            kind = error_kind(answer.body)
            raise AwsError(
                f"{action} in {region}: {kind or 'an error'} (status {answer.status})"
                f"{what_to_do(kind, action, answer.body)}",
                kind=kind,
                status=answer.status,
                may_pass=is_throttled(kind),
            )
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (ValueError, RecursionError):
            raise AwsError(f"{action} in {region}: the answer is not understood") from None


def _check_base64(blob: str) -> None:
    try:
        base64.b64decode(blob, validate=True)
    except ValueError:
        raise AwsError(
            "KMS: the ciphertext is no base64; expected the CiphertextBlob that `aws kms encrypt` prints"
        ) from None


def _decoded(service: str, blob: Any) -> str:
    try:
        return base64.b64decode(blob, validate=True).decode()
    except (TypeError, ValueError):
        raise AwsError(f"{service}: the answer holds no text") from None
