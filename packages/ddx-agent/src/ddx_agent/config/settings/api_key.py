"""Where the API key comes from. The first source that gives a key is used, in the order in which they stand here."""

from __future__ import annotations

from ddx_agent.config import parse
from ddx_agent.config.setting import Section, setting


class ApiKeySettings(Section):
    title = "API key"

    org_uuid: str | None = setting(
        "DD_ORG_UUID", default=None, parser=parse.text,
        about="Delegated authentication: Datadog gives a key to the function's IAM role in this organization.",
    )  # fmt: skip
    kms: str | None = setting(
        "DD_KMS_API_KEY", default=None, parser=parse.secret, yaml="kms_api_key",
        about="The key encrypted with KMS, base64, with or without the function's encryption context.",
    )  # fmt: skip
    kms_encrypted: str | None = setting(
        "DD_API_KEY_KMS_ENCRYPTED", default=None, parser=parse.secret, yaml="", about="As `DD_KMS_API_KEY`, asked after it.",
    )  # fmt: skip
    one_source = (("kms", "kms_encrypted"),)
    secret_arn: str | None = setting(
        "DD_API_KEY_SECRET_ARN", default=None, parser=parse.text,
        about="ARN of a Secrets Manager secret: the key as text, or JSON with `dd_api_key` or `apiKey`.",
    )  # fmt: skip
    ssm_arn: str | None = setting(
        "DD_API_KEY_SSM_ARN", default=None, parser=parse.text,
        about="ARN or name of an SSM parameter that holds the key.",
    )  # fmt: skip
    plain: str | None = setting(
        "DD_API_KEY", default=None, parser=parse.secret, is_secret=True,
        about="The key itself. Without any source everything waits in the buffers.",
    )  # fmt: skip
    reload_interval_s: float | None = setting(
        "DD_API_KEY_SECRET_RELOAD_INTERVAL", default=None, parser=parse.seconds(0, 31_536_000, zero_is_off=True),
        about="Seconds after which the key is asked for anew; 0 is never. After a 403 that happens once by itself.",
    )  # fmt: skip
    fips: bool | None = setting(
        "DD_LAMBDA_FIPS_MODE", default=None, parser=parse.boolean,
        about="Use the FIPS endpoints of AWS; on in `us-gov-*` regions unless set.",
    )  # fmt: skip

    @property
    def is_asked_for(self) -> bool:
        """Whether the key is had by asking somebody: AWS, or Datadog in the role's name."""
        asked = (self.org_uuid, self.kms, self.kms_encrypted, self.secret_arn, self.ssm_arn)
        return any(each is not None for each in asked)
