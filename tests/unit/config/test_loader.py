"""Loading: YAML 1.2 values, includes, limits, and what the result says it depends on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mmetl.config.documents import MAX_BYTES, Document, Documents
from mmetl.config.loader import load_pipeline, load_project
from mmetl.config.values import Values, plain
from mmetl.errors import ConfigError, ExitCode

HEAD = "version: 1\nname: p\n"


def value_of(text: str) -> Any:
    values = Values(Documents(Path("/nowhere")))
    made = values.document(Document(Path("p.yaml"), "p.yaml", text.encode()))
    assert values.problems == []
    return made


PLAIN = [
    ("yes", "yes"),
    ("no", "no"),
    ("on", "on"),
    ("off", "off"),
    ("y", "y"),
    ("true", True),
    ("False", False),
    ("tRUE", "tRUE"),
    ("null", None),
    ("~", None),
    ("", None),
    ("0", 0),
    ("-7", -7),
    ("010", 10),
    ("0o10", 8),
    ("0x1F", 31),
    ("0b1", "0b1"),
    ("1_000", "1_000"),
    ("1.", 1.0),
    (".5", 0.5),
    ("1e3", 1000.0),
    ("-1.5E-2", -0.015),
    ("-.inf", float("-inf")),
    (".", "."),
    ("-", "-"),
    ("12:30:45", "12:30:45"),
    ("2024-01-31", "2024-01-31"),
    ("1.2.3", "1.2.3"),
    ("٣", "٣"),
    ("9" * 500, float("9" * 500)),
]


@pytest.mark.parametrize(("text", "value"), PLAIN, ids=[text[:12] or "empty" for text, _ in PLAIN])
def test_plain_scalar(text: str, value: object) -> None:
    """The core schema of YAML 1.2, not the guesses of 1.1."""
    assert plain(text) == value
    assert type(plain(text)) is type(value)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="ascii")), inner, max_size=4)
    ),
    max_leaves=12,
)


class Dumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # A writer of YAML 1.1 leaves 1e3 unquoted, a number in 1.2, and breaks lines at these characters.
        safe = plain(data) is data and not set(data) & set("\x85\u2028\u2029")
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=None if safe else '"')


Dumper.add_representer(str, Dumper.represent_str)


@given(trees, st.booleans())
@settings(max_examples=150, deadline=None)
def test_dumped_values_come_back(tree: object, flow: bool) -> None:
    """What a YAML writer wrote is read back the same, in block and in flow style."""
    assert value_of(yaml.dump({"x": tree}, Dumper=Dumper, default_flow_style=flow, allow_unicode=True)) == {"x": tree}


@given(trees)
@example({"<<": None})
@settings(max_examples=100, deadline=None)
def test_positions_agree_with_values(tmp_path_factory: pytest.TempPathFactory, tree: object) -> None:
    """Every place in the tree is found again in the text."""
    path = tmp_path_factory.mktemp("p") / "p.yaml"
    task = {"transform": "a.b", "params": {"x": tree}}
    path.write_text(yaml.dump({"version": 1, "name": "p", "tasks": {"t": task}}, Dumper=Dumper).replace("${", "$_"))
    loaded = load_pipeline(path, root=path.parent)

    def check(value: object, place: tuple[str | int, ...]) -> None:
        assert loaded.source.has(place)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            check(child, (*place, key))

    check(loaded.pipeline.tasks["t"].params, ("tasks", "t", "params"))


def test_merge_keys() -> None:
    """Own keys win over merged ones, and of several merged mappings the first wins."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], x: 0}\nd: {<<: *b}\n'<<': text"
    made = value_of(text)
    assert made["c"] == {"x": 0, "y": 1, "z": 2}
    assert made["d"] == {"y": 2, "z": 2}
    assert made["<<"] == "text"


def test_aliases_are_copies() -> None:
    """A change of one use of an alias, such as by interpolation, leaves the other alone."""
    made = value_of("a: &a [1]\nb: *a")
    made["a"].append(2)
    assert made["b"] == [1]


def test_includes_and_what_went_in(tmp_path: Path) -> None:
    """Includes nest, are relative to their file, and may be merged; files and variables are told."""
    (tmp_path / "tasks").mkdir()
    (tmp_path / "p.yaml").write_text(
        HEAD + "tasks:\n  <<: !include tasks/more.yaml\n  a: {transform: '${KIND:-a.b}'}\n"
    )
    (tmp_path / "tasks/more.yaml").write_text("b: {transform: '${X}', params: !include params.yaml}\n")
    (tmp_path / "tasks/params.yaml").write_text("[1, 2]: 3\n".replace("[1, 2]", "n"))
    loaded = load_pipeline(tmp_path / "p.yaml", root=tmp_path, env={"X": "x.y", "UNUSED": "1"})
    assert {name: task.transform for name, task in loaded.pipeline.tasks.items()} == {"a": "a.b", "b": "x.y"}
    assert loaded.pipeline.tasks["b"].params == {"n": 3}
    assert loaded.files == tuple(tmp_path / name for name in ("p.yaml", "tasks/more.yaml", "tasks/params.yaml"))
    assert loaded.env == {"KIND": None, "X": "x.y"}
    assert "x.y" not in repr(loaded).replace(repr(loaded.pipeline), "")


def test_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    """A link is followed before it is judged."""
    (tmp_path / "secret.yaml").write_text("{}")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "p.yaml").write_text(HEAD + "tasks: !include link.yaml\n")
    with pytest.raises(ConfigError, match=r"^p.yaml:3:8: error: 'link.yaml' is outside of the project"):
        load_pipeline(root / "p.yaml", root=root)


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def test_alias_bomb(tmp_path: Path) -> None:
    """Aliases may repeat a little, not a billion times."""
    assert len(value_of(bomb(4))["a3"]) == 10
    (tmp_path / "p.yaml").write_text(bomb(9))
    with pytest.raises(ConfigError, match="the aliases and includes stand for too many values"):
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)


def test_include_bomb(tmp_path: Path) -> None:
    """Includes count like aliases."""
    for n in range(9):
        (tmp_path / f"{n}.yaml").write_text(f"[{', '.join([f'!include {n + 1}.yaml '] * 10)}]")
    (tmp_path / "9.yaml").write_text("[1]")
    (tmp_path / "p.yaml").write_text("tasks: !include 0.yaml")
    with pytest.raises(ConfigError, match="the aliases and includes stand for too many values"):
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)


@pytest.mark.parametrize("text", ["[" * 200_000, "- " * 200_000, "{a: " * 65 + "}" * 65, "&a [*a, *a]"])
def test_deep_nesting(text: str) -> None:
    """A text cannot overrun the C stack of the parser."""
    with pytest.raises(ConfigError, match="values are nested more than 64 levels deep"):
        value_of(text)


def test_oversized_file(tmp_path: Path) -> None:
    """A file above 16 MiB is refused before it is parsed."""
    (tmp_path / "p.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)
    help_ = "a YAML file may have 16 MiB; keep data in files that a task reads"
    assert str(caught.value) == f"error: 'p.yaml' is larger than 16 MiB\nhelp: {help_}"


def test_missing_file(tmp_path: Path) -> None:
    """The exit code is that of an invalid config."""
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)
    assert str(caught.value) == f"error: cannot read '{tmp_path / 'p.yaml'}': there is no such file"
    assert caught.value.exit_code is ExitCode.CONFIG


def test_invalid_utf8(tmp_path: Path) -> None:
    """The position is that of the first wrong byte, in characters."""
    (tmp_path / "p.yaml").write_bytes("version: 1\nname: é".encode() + b"\xff\n")
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)
    lines = ["p.yaml:2:8: error: the text is not UTF-8", "   2 | name: é\ufffd", "     |        ^"]
    assert str(caught.value) == "\n".join([*lines, "help: save the file as UTF-8"])


def test_byte_order_mark_and_crlf(tmp_path: Path) -> None:
    """Neither moves a position."""
    (tmp_path / "p.yaml").write_bytes(
        b"\xef\xbb\xbf" + b"version: 1\r\nname: p\r\ntasks:\r\n  a: {transform: a.b, x: 1}\r\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_pipeline(tmp_path / "p.yaml", root=tmp_path)
    assert str(caught.value).startswith(
        "p.yaml:4:23: error: task 'a' has no key 'x'\n   4 |   a: {transform: a.b, x: 1}\n     |                       ^\n"
    )


def test_variables_are_yaml_scalars(tmp_path: Path) -> None:
    """A value of the command line has the type that it would have in the file, and is not interpolated."""
    (tmp_path / "p.yaml").write_text(
        HEAD + "vars: {a: 1, b: 2, c: 3, d: 4, e: 5}\n"
        "tasks: {t: {transform: x.y, params: {all: ['${var:a}', '${var:b}', '${var:c}', '${var:d}', '${var:e}']}}}"
    )
    given_ = {"a": "7", "b": "'7'", "c": "no", "d": "x: y", "e": "${HOME}"}
    loaded = load_pipeline(tmp_path / "p.yaml", root=tmp_path, variables=given_)
    assert loaded.pipeline.tasks["t"].params["all"] == [7, "7", "no", "x: y", "${HOME}"]
    assert loaded.pipeline.vars == {"a": 7, "b": "7", "c": "no", "d": "x: y", "e": "${HOME}"}
    assert loaded.env == {}


def test_project_file(tmp_path: Path) -> None:
    """Defaults, and the whole message of a wrong key."""
    path = tmp_path / "mmetl.yml"
    path.write_text("version: 1\nroot: ${R:-.}\nretention: {days: 7}\n")
    project = load_project(path, env={}).project
    assert (project.root, project.pipelines) == (".", ("*.yaml", "pipelines/*.yaml"))
    assert (project.retention.days, project.retention.builds) == (7, 3)
    path.write_text("version: 1\nretention: {dayz: 7, builds: 0}\n")
    with pytest.raises(ConfigError) as caught:
        load_project(path, env={})
    assert str(caught.value) == (
        "mmetl.yml:2:13: error: 'retention' has no key 'dayz'\n"
        "   2 | retention: {dayz: 7, builds: 0}\n"
        "     |             ^\n"
        "help: did you mean 'days'? 'retention' takes: days, builds\n\n"
        "mmetl.yml:2:30: error: 'builds' is 0, expected a whole number of at least 1\n"
        "   2 | retention: {dayz: 7, builds: 0}\n"
        "     |                              ^"
    )
