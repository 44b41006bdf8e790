"""`secrets` and `provision object-store`, as far as they get without a server."""

from pathlib import Path

from tests.unit.cli.conftest import Waybill


def test_a_plan_that_cannot_be_read_is_said(waybill: Waybill, tmp_path: Path) -> None:
    ran = waybill("secrets", "--plan", tmp_path / "none.json", "--namespace", "ns")
    assert ran.code == 1
    assert "none.json cannot be read: No such file or directory" in ran.err
    (tmp_path / "plan.json").write_text("{}")
    ran = waybill("secrets", "--plan", tmp_path / "plan.json", "--namespace", "ns")
    assert ran.code == 2
    assert "the plan is not as a plan of Secrets has it" in ran.err


def test_the_two_ways_to_say_which_secrets_are_not_mixed(waybill: Waybill) -> None:
    both = ("dev", "--context", "c")
    mixed = (("dev", "--plan", "-"), ("--plan", "-"), ("--namespace", "ns"), both)
    for arguments in mixed:
        ran = waybill("secrets", *arguments)
        assert ran.code == 2
        assert "give either an environment, or --plan and --namespace" in ran.err


def test_secrets_of_nothing_says_what_to_name(waybill: Waybill) -> None:
    ran = waybill("secrets")
    assert ran.code == 2 and "name an environment: waybill secrets ENV" in ran.err


def test_an_object_store_has_a_url_an_endpoint_and_keys(waybill: Waybill, tmp_path: Path) -> None:
    def said(store: str, endpoint: str) -> str:
        where = ("--endpoint", endpoint, "--credentials", tmp_path)
        ran = waybill("provision", "object-store", store, *where)
        assert ran.code in (1, 2)
        return ran.err

    assert "it must be s3://bucket/prefix" in said("file:///store", "http://minio:9000")
    assert "it must be http://host or https://host" in said("s3://bucket", "minio:9000")
    assert "root/AWS_ACCESS_KEY_ID cannot be read" in said("s3://bucket", "http://minio:9000")
