"""Regions, partitions and hosts, with botocore's own tables as the oracle."""

from __future__ import annotations

from typing import Any

import pytest

from ddx_agent.aws import Aws, HttpClient
from ddx_agent.aws.places import endpoint, is_region, region_of

arn = "arn:aws:secretsmanager:us-west-2:123456789012:secret:datadog"


@pytest.mark.parametrize(
    ("service", "region", "fips", "url"),
    [
        ("kms", "eu-west-1", False, "https://kms.eu-west-1.amazonaws.com"),
        ("kms", "us-gov-west-1", True, "https://kms-fips.us-gov-west-1.amazonaws.com"),
        ("secretsmanager", "cn-north-1", False, "https://secretsmanager.cn-north-1.amazonaws.com.cn"),
        ("sts", "us-iso-east-1", False, "https://sts.us-iso-east-1.c2s.ic.gov"),
        ("ssm", "eusc-de-east-1", False, "https://ssm.eusc-de-east-1.amazonaws.eu"),
        ("ssm", "us-gov-west-1", True, "https://ssm.us-gov-west-1.amazonaws.com"),
        ("sts", "us-gov-east-1", True, "https://sts.us-gov-east-1.amazonaws.com"),
    ],
)
def test_the_host_follows_region_and_partition(service: str, region: str, fips: bool, url: str) -> None:
    assert endpoint(service, region, fips=fips, environ={}) == url


def test_endpoints_can_be_set_as_for_the_sdks() -> None:
    environ = {"AWS_ENDPOINT_URL": "http://all/", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://one"}
    assert endpoint("secretsmanager", "x", fips=False, environ=environ) == "http://one"
    assert endpoint("kms", "x", fips=True, environ=environ) == "http://all"
    ignored = environ | {"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    assert endpoint("kms", "x", fips=False, environ=ignored) == "https://kms.x.amazonaws.com"


@pytest.mark.parametrize("service", ["secretsmanager", "ssm", "kms", "sts"])
def test_the_hosts_are_those_that_botocore_knows(service: str) -> None:
    import botocore.session
    from botocore.endpoint_provider import EndpointProvider

    session: Any = botocore.session.Session()
    loader: Any = session.get_component("data_loader")
    partitions: Any = loader.load_data("partitions")
    provider: Any = EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions)
    listed: list[dict[str, Any]] = partitions["partitions"]
    # Names that stand for no region end in -global.
    regions = [name for part in listed for name in part["regions"] if not name.endswith("-global")]
    assert len(regions) > 30
    more = {"UseGlobalEndpoint": False} if service == "sts" else {}
    for region in regions:
        assert is_region(region)
        for fips in (False, True):
            known = provider.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=False, **more).url
            assert endpoint(service, region, fips=fips, environ={}) == known


@pytest.mark.parametrize(
    ("region", "fips", "used"),
    [
        ("us-gov-west-1", None, True),
        ("us-east-1", None, False),
        ("us-gov-west-1", False, False),
        ("eu-west-1", True, True),
    ],
)
def test_fips_is_the_default_in_government_regions(region: str, fips: bool | None, used: bool) -> None:
    assert Aws({"AWS_REGION": region}, HttpClient(), fips=fips).fips is used


@pytest.mark.parametrize(
    ("name", "region"),
    [
        (arn, "us-west-2"),
        ("by-name", "eu-west-1"),
        ("arn:aws:ssm:region:account-id:parameter/x", "eu-west-1"),
        ("", "eu-west-1"),
    ],
)
def test_the_region_is_that_of_the_arn(name: str, region: str) -> None:
    assert region_of(name, "eu-west-1") == region
