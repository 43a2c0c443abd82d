"""Project files name what exists: versions, links, commands."""

import re
from pathlib import Path

import pytest

import skbatch

yaml = pytest.importorskip("yaml")
ROOT = Path(skbatch.__file__).parents[1]
pytestmark = pytest.mark.skipif(
    not (ROOT / ".github").exists(),
    reason="The package is installed without its repository.",
)
MARKDOWN = ["CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "llms.txt"]


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_citation_has_the_version_of_the_package():
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == skbatch.__version__
    assert {"cff-version", "message", "title", "authors"} <= set(citation)


@pytest.mark.parametrize("file", MARKDOWN)
def test_links_lead_somewhere(file):
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", read(file)):
        assert (ROOT / link).exists(), link


def test_every_guide_is_listed_for_language_models():
    text = read("llms.txt")
    for folder in ("docs/guide", "docs/how_to"):
        for page in (ROOT / folder).glob("*.rst"):
            assert page.name == "index.rst" or f"({folder}/{page.name})" in text, page


def test_issue_forms_have_what_their_readers_fill_in():
    for path in sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")):
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        if path.name != "config.yml":
            assert {"name", "description", "body"} <= set(form), path.name
            fields = [field for field in form["body"] if field["type"] != "markdown"]
            assert all(field["attributes"]["label"] for field in fields)
            assert len({field["id"] for field in fields}) == len(fields)


def test_continuous_integration_runs_what_the_repository_has():
    jobs = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]
    steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert ".ci/run" in steps
    # The step for macOS and Windows takes README's only line with this.
    (command,) = (
        line for line in read("README.md").splitlines() if "-m pytest" in line
    )
    assert command.count(".venv/bin/") == 2
    systems = jobs["readme"]["strategy"]["matrix"]["os"]
    assert {name.partition("-")[0] for name in systems} == {"macos", "windows"}
    resolutions = jobs["dependencies"]["strategy"]["matrix"]["include"]
    assert {each["resolution"] for each in resolutions} == {"lowest-direct", "highest"}
