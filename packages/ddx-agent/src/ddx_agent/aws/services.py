"""Secrets Manager, Systems Manager parameters and KMS: one call each."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from ddx_core.clock import WallClock, now_ns, ns_per_s

from .credentials import CredentialSource
from .errors import AwsError
from .places import endpoint, own_region, region_of
from .signing import Credentials, sign
from .transport import HttpClient, error_kind

_denied = ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation")


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
        try:
            answer = await self._call("kms", "TrentService.Decrypt", {"CiphertextBlob": blob}, self.region)
        except AwsError as error:
            if error.kind != "InvalidCiphertextException":
                raise
            context = {"LambdaFunctionName": self._environ.get("AWS_LAMBDA_FUNCTION_NAME", "")}
            body = {"CiphertextBlob": blob, "EncryptionContext": context}
            answer = await self._call("kms", "TrentService.Decrypt", body, self.region)
        return _decoded("KMS", answer.get("Plaintext"))

    async def _call(self, service: str, target: str, request: dict[str, Any], region: str) -> dict[str, Any]:
        url = endpoint(service, region, fips=self.fips, environ=self._environ)
        action = f"{service}:{target.rpartition('.')[2]}"
        body = msgspec.json.encode(request)
        headers = {
            "Host": url.partition("://")[2].partition("/")[0],
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": target,
        }
        signed = sign(
            await self._credentials.get(),
            service=service,
            region=region,
            headers=headers,
            body=body,
            now_s=self._wall_clock() / ns_per_s,
        )
        answer = await self._http.call(action, "POST", f"{url}/", headers=signed, body=body)
        if answer.status != 200:
            kind = error_kind(answer.body)
            help_ = f"; allow {action} to the function's role" if kind in _denied else ""
            raise AwsError(
                f"{action} in {region}: {kind or 'an error'} (status {answer.status}){help_}",
                kind=kind,
                status=answer.status,
                may_pass="Throttl" in kind,
            )
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError):
            raise AwsError(f"{action} in {region}: the answer is not understood") from None


def _decoded(service: str, blob: Any) -> str:
    try:
        return base64.b64decode(blob, validate=True).decode()
    except (TypeError, binascii.Error, UnicodeError, ValueError):
        raise AwsError(f"{service}: the answer holds no text") from None
