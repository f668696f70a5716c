"""The words beside the code: what they list is complete, and what they show works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from shotgun_api3 import Shotgun

import shotgun_executor.sandbox
from shotgun_executor.mirror import LOCAL, public_methods
from shotgun_executor.sandbox import Sandbox
from tests.support import KEYS, NOWHERE

HERE = Path(__file__).resolve().parent.parent
README = (HERE / "README.md").read_text(encoding="utf-8")
MEMBERS = (HERE / "docs" / "members.md").read_text(encoding="utf-8")


def _rows(section: str) -> list[str]:
    """The members that the table of a section of members.md lists."""
    text = MEMBERS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_members_page_lists_each_remote_method():
    """The first table of the page has a row for each method that asks the site, and no other."""
    assert sorted(_rows("What asks the site")) == sorted(set(public_methods()) - LOCAL)


def test_members_page_lists_each_local_member():
    """The second table has a row for each method that acts on the client, and each attribute."""
    attributes = {name for name in dir(Shotgun(NOWHERE, connect=False, **KEYS)) if name[0] != "_"}
    attributes -= set(public_methods())
    constants = {name for name in attributes if name.isupper()}  # settings of the class
    assert sorted(_rows("What acts on the client")) == sorted(LOCAL | attributes - constants)


@pytest.mark.parametrize("name", sorted(LOCAL))
def test_members_page_explains_each_local_method(name: str):
    """Local methods do not only have a row but are explained under a heading."""
    headings = re.findall(r"^### (.*)$", MEMBERS, re.MULTILINE)
    assert any(f"`{name}`" in heading for heading in headings)


def test_readme_examples_run(sandbox: Sandbox, capsys: pytest.CaptureFixture[str]):
    """The Python in the README runs as it stands, one block after the other, on a site."""
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    project = sg.create("Project", {"name": "The Lantern Sea"})
    assert project["id"] == 1
    sg.create("Shot", {"code": "sh010", "project": project})
    sg.close()
    code = "\n".join(_blocks("python"))
    code = code.replace("https://my-site", sandbox.url)
    code = code.replace('script_name="tool"', f'script_name="{sandbox.script_name}"')
    code = code.replace('api_key="..."', f'api_key="{sandbox.api_key}"')
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.splitlines() == [
        "1 shots, 0 assets",
        "sh030_v001",
        "['sh010_v001', 'sh020_v001', 'sh030_v001']",
        f"{{'type': 'Version', 'id': {_first_version(sandbox)}, 'description': 'Approved.'}}",
        "3 versions",
        "True",
        "4 urgent ones",
        "1 done",
        "4",
    ]


def _first_version(sandbox: Sandbox) -> int:
    sg = Shotgun(sandbox.url, **sandbox.credentials)
    version = sg.find_one("Version", [["code", "is", "sh010_v001"]])
    sg.close()
    assert version is not None
    return version["id"]


def test_readme_commands_are_single_lines_that_exist():
    """Each command of the README is one line, and the files that it names are there."""
    main_job, tests = (block.splitlines() for block in _blocks("console"))
    assert len(main_job) == len(tests) == 1
    script = main_job[0].rpartition(" ")[2]
    assert (HERE / script).is_file(), script


def test_ci_runs_the_command_of_the_readme():
    """What CI accepts is what a contributor runs."""
    command = _blocks("console")[1].strip()
    assert command in (HERE / ".ci" / "run").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    "page", [*sorted(path.name for path in (HERE / "docs").glob("*.md")), "../README.md"]
)
def test_links_between_the_pages_lead_somewhere(page: str):
    """Each relative link of a page names a file that is there."""
    source = HERE / "docs" / page
    text = source.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", text):
        assert (source.parent / target).exists(), target


def test_reference_has_each_public_name():
    """What the package and the sandbox export is in docs/api.md."""
    page = (HERE / "docs" / "api.md").read_text(encoding="utf-8")
    listed = {
        name.rpartition(".")[2] for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)", page, re.M)
    }
    names = {*shotgun_executor.__all__, *shotgun_executor.sandbox.__all__} - {"__version__"}
    assert names <= listed, names - listed


def test_design_lists_each_module():
    """The table of the parts names each file of the package, and no file that is gone."""
    text = (HERE / "docs" / "design.md").read_text(encoding="utf-8").partition("```text")[2]
    listed = set(re.findall(r"^(\w+\.py) ", text.partition("```")[0], re.MULTILINE))
    modules = {path.name for path in (HERE / "shotgun_executor").glob("*.py")}
    assert listed == modules - {"__init__.py", "_version.py"}
