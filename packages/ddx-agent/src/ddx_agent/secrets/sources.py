"""Where the API key of a configuration comes from, strongest first."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from ddx_agent.aws import api_key_in, delegated_key
from ddx_agent.config import Config

from .aws_of import AwsOf
from .resolved_key import KeySource, ResolvedKey


def key_of(config: Config, environ: Mapping[str, str]) -> ResolvedKey:
    """A key that is asked for, with the plain one to fall back on."""
    settings = config.api_key
    sources = key_sources(config, AwsOf(config, environ), environ)
    if settings.plain is not None:
        plain = settings.plain

        async def as_written() -> str:
            return plain

        sources.append(KeySource("DD_API_KEY", as_written))
    return ResolvedKey(sources, reload_interval_s=settings.reload_interval_s)


def key_sources(config: Config, aws_of: AwsOf, environ: Mapping[str, str]) -> list[KeySource]:
    """Those that have to be asked, each on its own: whoever asks closes `aws_of`."""
    settings = config.api_key
    sources: list[KeySource] = []

    if settings.org_uuid is not None:
        org_uuid = settings.org_uuid

        async def delegated() -> str:
            api_url = f"https://api.{config.general.site}"
            key = await delegated_key(aws_of.aws, aws_of.datadog, org_uuid=org_uuid, api_url=api_url)
            return api_key_in(key)

        sources.append(KeySource("DD_ORG_UUID", delegated))

    async def decrypted(ciphertext: str) -> str:
        return api_key_in(await aws_of.aws.decrypt(ciphertext))

    if settings.kms is not None:
        sources.append(KeySource("DD_KMS_API_KEY", partial(decrypted, settings.kms)))

    if settings.kms_encrypted is not None:
        sources.append(KeySource("DD_API_KEY_KMS_ENCRYPTED", partial(decrypted, settings.kms_encrypted)))

    if settings.secret_arn is not None:
        arn = settings.secret_arn

        async def from_secrets_manager() -> str:
            return api_key_in(await aws_of.aws.secret(arn))

        sources.append(KeySource("DD_API_KEY_SECRET_ARN", from_secrets_manager))

    if settings.ssm_arn is not None:
        name = settings.ssm_arn

        async def from_parameter() -> str:
            return api_key_in(await aws_of.aws.parameter(name))

        sources.append(KeySource("DD_API_KEY_SSM_ARN", from_parameter))
    return sources
