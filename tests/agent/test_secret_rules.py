"""Rules that were to come from a secret and could not be had: nothing leaves that they were to mask."""

from __future__ import annotations

from ddx_agent.config import load_config
from ddx_agent.config.file import ConfigFile
from ddx_agent.secrets import find_secret_variables, guard

log_rules, replace_tags = "DD_LOGS_CONFIG_PROCESSING_RULES", "DD_APM_REPLACE_TAGS"
environ = {f"{log_rules}_SECRET_ARN": "arn", f"{replace_tags}_KMS_ENCRYPTED": "text"}
wanted = find_secret_variables(environ, [log_rules, replace_tags])
no_file = ConfigFile()


def test_without_its_rules_no_log_is_shipped() -> None:
    for values in ({}, {log_rules: "[", replace_tags: "["}):
        guarded = guard(load_config(environ, file=no_file, secrets=values), wanted)
        assert not guarded.config.logs.enabled
        assert guarded.config.logs.telemetry_types == ("platform",)
        rewritten, logs = (each for each in sorted(guarded.complaints, key=str) if each.is_severe)
        assert "no logs are shipped" in str(logs)
        assert "obfuscation is in force" in str(rewritten)


def test_with_its_rules_all_is_as_always() -> None:
    rules = '[{"type": "exclude_at_match", "name": "n", "pattern": "x"}]'
    for values in ({log_rules: rules, replace_tags: "[]"}, {log_rules: "[]", replace_tags: "[]"}):
        loaded = load_config(environ, file=no_file, secrets=values)
        assert guard(loaded, wanted) == loaded
        assert loaded.config.logs.enabled
