"""OutputTemplate: where images go, and that no prompt, task id or model name leads elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from seedream_cli.errors import InvalidOutput
from seedream_cli.files.output_path import (
    DEFAULT_TEMPLATE,
    FIELDS,
    OutputTemplate,
    TemplateFields,
    external_operation_id,
    fields_of,
    free_name,
    new_operation_id,
    parse_output,
    part_path,
)
from seedream_cli.files.safe_names import slug
from seedream_cli.models import GenerationRequest, Operation

CREATED = time.mktime((2026, 11, 22, 17, 45, 1, 0, 0, -1))
FOX = TemplateFields("a-red-fox", "task_1", "seedream-v4.5", "16:9", "2K", CREATED, "hero")
CWD = "/home/me/work" if os.sep == "/" else "C:\\me\\work"


def expand(template: str, fields: TemplateFields = FOX, *, number: int = 1, several: bool = False) -> str:
    output = parse_output(template, cwd=CWD)
    return output.display_path(str(output.target(fields, number=number, several=several, extension="png")))


# Slugs


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("A red fox, in snow!", "a-red-fox-in-snow"),
        ("  --  ", "image"),
        ("", "image"),
        ("🦊🔥", "image"),
        ("1️⃣ fox ❤️ snow", "1-fox-snow"),
        ("[bold]fox[/bold]", "bold-fox-bold"),
        ("--overwrite", "overwrite"),
        ("../../etc/passwd", "etc-passwd"),
        ("雪中的红狐狸\uff0c水彩", "雪中的红狐狸-水彩"),
        ("लाल लोमड़ी", "लाल-लोमड़ी"),
        ("Füchse im Schnee", "füchse-im-schnee"),
        ("Fu\u0308chse", "füchse"),
        ("İstanbul", "i̇stanbul"),
        ("شقائق النعمان", "شقائق-النعمان"),
        ("CON", "con"),
        ("a\x00b\ud800c\u202ed", "a-b-c-d"),
        ("v4.5 ½ \uff12K", "v4-5-½-\uff12k"),
    ],
)
def test_slug(prompt: str, expected: str) -> None:
    assert slug(prompt) == unicodedata.normalize("NFC", expected)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        # Between words, or within a very long one. At most 48 characters and 120 bytes.
        ("watercolour " * 10, "watercolour-watercolour-watercolour-watercolour"),
        ("a" * 48 + " tail", "a" * 48),
        ("a " + "b" * 100, "a-" + "b" * 46),
        ("雪" * 100, "雪" * 40),
        ("𠀀" * 100, "𠀀" * 30),
        # Not between a letter and its vowel sign.
        ("कि" * 30, "कि" * 20),
        ("x" + "कि" * 30, "x" + "कि" * 19),
    ],
)
def test_slug_is_truncated(prompt: str, expected: str) -> None:
    assert slug(prompt) == expected
    assert len(slug("x" + "\u0301" * 500)) == 48


@given(st.text(max_size=300))
@example("İ" * 300)
@example("\u0958" * 100)
@example("ΑΣ" * 40)
@example("ﬃ" * 100)
def test_slug_of_any_text_keeps_its_limits(prompt: str) -> None:
    text = slug(prompt)
    assert 0 < len(text) <= 48
    assert len(text.encode()) <= 120
    assert not set(text[:1] + text[-1:]) & {"-"}
    assert "--" not in text
    assert all(unicodedata.category(c)[0] in "LNM" or c == "-" for c in text)
    assert unicodedata.is_normalized("NFC", text)
    assert slug(text) == text
    assert expand("{slug}-x", replace(FOX, slug=text)) == f"{text}-x"


# Templates


def test_template_fields_and_doubled_braces() -> None:
    values = {field: expand(f"{{{field}}}-x")[:-2] for field in FIELDS}
    assert values == {
        **{"slug": "a-red-fox", "task": "task_1", "n": "1", "ext": "png", "date": "2026-11-22"},
        **{"time": "174501", "model": "seedream-v4.5", "ratio": "16x9", "quality": "2K", "name": "hero"},
    }
    assert expand("{{slug}}-{slug}.png") == "{slug}-a-red-fox.png"
    assert expand("{{{slug}}}.png") == "{a-red-fox}.png"


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        (("{", "}", "a{b", "a}b", "{slug", "slug}", "{{slug}", "{{}", "{{}}}"), r"\{slug\}, \{task\}"),
        (
            ("{}", "{prompt}", "{SLUG}", "{slug!r}", "{n:03}", "{0}", "a/{b/c}"),
            r"unknown field .*\{slug\}, \{task\}.*\{name\}",
        ),
        (("{slgu}.png",), r"unknown field 'slgu': did you mean \{slug\}\?"),
        (("", "a\0b", "fox\0", "\ud800.png", "missing/.."), None),
    ],
    ids=["a lone brace", "an unknown field", "a typo", "no file"],
)
def test_parse_output_rejects(texts: tuple[str, ...], why: str | None) -> None:
    for text in texts:
        with pytest.raises(InvalidOutput, match=why):
            parse_output(text, cwd=CWD)


# Values of -o


def test_parse_output_without_output_is_the_default_in_the_working_folder() -> None:
    output = parse_output(None, cwd=CWD)
    assert output.template == os.path.join(CWD, DEFAULT_TEMPLATE)
    target = output.target(FOX, number=1, several=False, extension="png")
    assert target == Path(CWD, "a-red-fox-task_1.png")
    assert output.display_path(str(target)) == "a-red-fox-task_1.png"
    # Leading `.` and `..` are resolved.
    assert parse_output("../a.png", cwd=CWD).template == str(Path(CWD).parent / "a.png")
    assert parse_output("./a.png", cwd=CWD).template == str(Path(CWD, "a.png"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a.png", "a.png"),
        ("{n}.png", "1.png"),
        ("./a.png", "a.png"),
        ("../a.png", "../a.png"),
        ("../../a.png", "../../a.png"),
        ("../work/a.png", "a.png"),
        (os.path.abspath("/x/a.png"), os.path.abspath("/x/a.png")),
        # `~` is expanded by the shell, not here.
        ("~/a.png", "~/a.png"),
        # A trailing slash means a folder.
        ("out/", "out/a-red-fox-task_1.png"),
        ("{date}/{model}/", "2026-11-22/seedream-v4.5/a-red-fox-task_1.png"),
    ],
)
def test_display_path_is_relative_if_the_output_is(text: str, shown: str) -> None:
    assert expand(text) == shown.replace("/", os.sep)


def test_parse_output_dash_is_stdout() -> None:
    output = parse_output("-", cwd=CWD)
    assert output == OutputTemplate("", stdout=True)
    assert (output.possible_targets(FOX), output.explicit_ending) == ([], False)
    with pytest.raises(ValueError, match="standard output"):
        output.target(FOX, number=1, several=False, extension="png")
    assert expand("./-") == "-"


def test_parse_output_takes_an_existing_folder_literally(tmp_path: Path) -> None:
    for name in ("out", "{date}", "{x}", "{", "{slug} } {"):
        (tmp_path / name).mkdir()
    for text in ("out", "out/", "./out", "{date}", "{{x}}", "{x}", "{", "."):
        target = parse_output(text, cwd=str(tmp_path)).target(FOX, number=1, several=False, extension="png")
        assert target.name == "a-red-fox-task_1.png"
        assert target.parent.is_dir()
    # Braces in the name of the working folder are not fields.
    folder = tmp_path / "{slug} } {"
    output = parse_output("a.png", cwd=str(folder))
    assert output.target(FOX, number=1, several=False, extension="png") == folder / "a.png"


def test_display_path_keeps_a_symlink_in_the_folder(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere" / "deep"
    elsewhere.mkdir(parents=True)
    (tmp_path / "link").symlink_to(elsewhere)
    output = parse_output("link/../a.png", cwd=str(tmp_path))
    target = output.target(FOX, number=1, several=False, extension="png")
    target.write_text("here")
    assert (tmp_path / output.display_path(str(target))).read_text() == "here"
    assert (tmp_path / "elsewhere" / "a.png").exists()


# Several images, endings, targets known before there is a task


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a.png", "a-2.png"),
        ("a", "a-2"),
        (".hidden", ".hidden-2"),
        ("a.tar.gz", "a.tar-2.gz"),
        ("{slug}-{task}.{ext}", "a-red-fox-task_1-2.png"),
        ("{n}.png", "2.png"),
        ("{n}/a.png", os.path.join("2", "a.png")),
        ("v1.5 {slug}", "v1.5 a-red-fox-2"),
        ("{model}", "seedream-v4.5-2"),
        ("{{ext}}.{{ext}}", "{ext}.{ext}-2"),
    ],
)
def test_target_has_a_number_if_a_task_has_several_images(template: str, expected: str) -> None:
    assert expand(template, number=2, several=True) == expected


def test_target_keeps_an_explicit_ending() -> None:
    output = parse_output("a.png", cwd=CWD)
    assert output.explicit_ending
    assert output.target(FOX, number=1, several=False, extension="webp").name == "a.png"
    assert not parse_output("{slug}.{ext}", cwd=CWD).explicit_ending
    assert parse_output("{ext}/a.png", cwd=CWD).explicit_ending
    # The template in the history has no working folder.
    kept = OutputTemplate(parse_output("out/{slug}.{ext}", cwd=CWD).template)
    target = kept.target(FOX, number=1, several=False, extension="jpg")
    assert kept.display_path(str(target)) == str(Path(CWD, "out", "a-red-fox.jpg"))


@pytest.mark.parametrize(
    ("text", "names", "folder"),
    [
        ("a.png", ["a.png"], ""),
        ("{slug}.{ext}", ["a-red-fox.png", "a-red-fox.jpg", "a-red-fox.webp"], ""),
        ("{slug}-{n}.png", ["a-red-fox-1.png"], ""),
        ("out/{model}/a.png", ["a.png"], "out/seedream-v4.5"),
        ("{task}.png", [], ""),
        ("out/{task}/{model}/a.png", [], "out"),
        ("{ext}/{n}/a.png", ["a.png"] * 3, ""),
        (os.path.join(os.path.abspath(os.sep), "{task}.png"), [], os.path.abspath(os.sep)),
    ],
)
def test_possible_targets_and_folder_before_there_is_a_task(text: str, names: list[str], folder: str) -> None:
    output = parse_output(text, cwd=CWD)
    assert [path.name for path in output.possible_targets(replace(FOX, task=""))] == names
    assert output.folder(FOX) == Path(CWD, folder)


# Values of fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("../../etc/passwd", "___.._etc_passwd"),
        ("..", "__"),
        (".bashrc", "_bashrc"),
        ("-rf", "_rf"),
        ("a/b\\c:d", "a_b_c_d"),
        ("a\u2215b\uff0fc\u202ed", "a_b_c_d"),
        ("a\0\n\x1b[31m", "a____31m"),
        ("\ud800x\udcff", "_x_"),
        ("", "_"),
        ("v1.", "v1_"),
        ("狐狸", "狐狸"),
        ("CON", "_CON"),
        ("nul", "_nul"),
        ("com¹.fox", "_com¹.fox"),
        ("LPT9.tar.gz", "_LPT9.tar.gz"),
        ("conference", "conference"),
    ],
)
def test_safe_value_stays_in_its_folder(value: str, expected: str) -> None:
    assert expand("{name}", replace(FOX, name=value)) == expected


@pytest.mark.parametrize(
    ("template", "name", "expected"),
    [
        *[
            ("{name}.{ext}", name, f"_{name}.png")
            for name in ("con", "Prn.txt", "aux", "COM1", "com³.x", "lpt¹")
        ],
        # The user's own text stays as it is.
        ("con", "", "con"),
        # Literal text and value must not form a device name together.
        ("CO{name}", "N", "_CON"),
        ("CONIN${name}", "x", "CONIN$x"),
        ("{name}OUT$", "con", "_conOUT$"),
        # No name ends in a dot or space, or is only a suffix.
        ("{name}. .", "hero", "hero___"),
        ("{quality} /a.png", "", os.path.join("2K_", "a.png")),
        ("{name}.{ext}", "", "_.png"),
    ],
)
def test_target_is_never_a_device_of_windows(template: str, name: str, expected: str) -> None:
    assert expand(template, replace(FOX, name=name)) == expected


def test_long_value_is_truncated_and_stays_distinct() -> None:
    names = [expand("{task}", replace(FOX, task="t" * 500 + end)) for end in "ab"]
    assert names[0] != names[1]
    assert all(re.fullmatch(r"t{111}-[0-9a-f]{8}", name) for name in names)
    # The name of a sidecar, which is longer, fits too.
    name = expand("{slug}{task}{name}.{ext}", replace(FOX, slug="s" * 120, task="t" * 120, name="n" * 120))
    assert len(f"{name}.json") <= 255


def test_long_name_is_truncated_before_its_ending_and_stays_distinct() -> None:
    long = replace(FOX, slug="雪" * 40, model="m" * 120, task="t" * 120)
    names = [expand("{slug}{model}{task}", long, number=n, several=True) for n in (1, 2)]
    names += [expand("{slug}{model}{task}.{ext}", replace(long, task="t" * 119 + end)) for end in "ab"]
    assert len(set(names)) == 4
    assert all(len(name.encode()) <= 250 for name in names)
    assert names[2].endswith(".png")


# Properties

#: Any text, and text that is likely to lead out of a folder.
values = st.one_of(
    st.text(st.characters(), max_size=60),
    st.text(st.characters(categories=["Cs", "Cc", "Cf", "Mn", "Lo", "Po"]), max_size=300),
    st.text(st.sampled_from("./\\:~ \0\n\u2215\uff0f\u29f5\u2044\uff3c\u202e\u200f-a雪"), max_size=20),
    st.sampled_from(["", ".", "..", "../", "CON", "nul.png", "COM¹", "/etc/passwd", "C:\\x", "~"]),
    st.sampled_from(["a" * 1000, "雪" * 1000, "𠀀" * 1000, "." * 1000, "\u0301" * 1000]),
)
fields = st.builds(TemplateFields, values, values, values, values, values, st.floats(0, 2**33), values)
literal = st.text(st.sampled_from("ab Z09_-雪é.~$"), max_size=30)
pieces = st.one_of(literal, st.sampled_from([f"{{{field}}}" for field in FIELDS]))
with_field = st.builds(
    lambda before, field, after: f"{''.join(before)}{{{field}}}{''.join(after)}",
    st.lists(pieces, max_size=3),
    st.sampled_from(FIELDS),
    st.lists(pieces, max_size=3),
)


@given(st.lists(with_field, min_size=1, max_size=4), fields, st.integers(1, 10), st.booleans())
def test_target_of_any_values_stays_in_its_folder(
    parts: list[str], fields: TemplateFields, number: int, several: bool
) -> None:
    output = parse_output("/".join(parts), cwd=CWD)
    target = output.target(fields, number=number, several=several, extension="png")
    inside = target.relative_to(CWD).parts
    assert len(inside) == len(parts)
    assert os.path.normpath(target) == str(target)
    for name in inside:
        assert_storable(name)
    os.fsencode(output.display_path(str(target)))
    assert target.is_relative_to(output.folder(fields))
    assert_storable(free_name(target, 2).name)


@settings(max_examples=50)
@given(field=st.sampled_from(["slug", "task", "model", "ratio", "quality", "name"]), value=values)
@example("slug", "\u29f5\u29f8\u2044\u2571\ufe68\uff3c\uff5e\u2024\ufe52\uff0e\uff0e\uff1a\u2236")
@example("task", "\u0338\u200b\ufeff\u00ad\U000e0041x")
@example("name", "~root")
@example("name", "--output=/etc/passwd")
@example("model", "x. . .")
@example("name", "CONIN$")
@example("name", "COM\u00b2.png")
def test_any_value_becomes_letters_digits_and_three_signs(field: str, value: str) -> None:
    changed: dict[str, Any] = {field: value}
    for template in (f"{{{field}}}", f"in/{{{field}}}/x", f"x-{{{field}}}.{{ext}}"):
        parts = Path(expand(template, replace(FOX, **changed))).parts
        assert len(parts) == template.count("/") + 1
        assert parts[0] == "in" or not template.startswith("in")
        for name in parts:
            assert_storable(name)
            # Look-alikes of separators are replaced too, wherever they are in Unicode.
            assert all(unicodedata.category(char)[0] in "LNM" or char in "._-" for char in name)
            assert not name.startswith((".", "-", "~"))


DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
DEVICES |= {f"{port}{number}" for port in ("COM", "LPT") for number in "0123456789¹²³"}


def assert_storable(name: str) -> None:
    assert name not in ("", ".", "..")
    assert not set(name) & set("/\\\0:\n\u202e\u2215\uff0f\u29f5\u2044\uff3c")
    assert len(os.fsencode(name)) <= 255
    assert not name.endswith((".", " "))
    assert name.split(".")[0].rstrip().upper() not in DEVICES


@given(values, values)
def test_long_task_ids_have_distinct_names(first: str, second: str) -> None:
    """Keep them distinct, whichever part is truncated."""
    assume(first != second)
    for template, long in (
        ("{slug}-{model}-{task}.{ext}", replace(FOX, slug="s" * 130, model="m" * 130)),
        ("{task}", FOX),
    ):
        tasks = [
            f"{'x' * 121}{first}",
            f"{'x' * 121}{second}",
            f"{first}{'x' * 200}1",
            f"{first}{'x' * 200}2",
        ]
        named = [expand(template, replace(long, task=task)) for task in tasks]
        assert named[0] != named[1]
        assert named[2] != named[3]


def test_slug_is_replaced_if_the_file_system_has_only_ascii() -> None:
    script = (
        "import sys; from seedream_cli.files.output_path import *\n"
        "fields = TemplateFields('\\u96ea-fox', 't', 'm', '1:1', '2K', 0.0)\n"
        "target = parse_output(None, cwd='/x').target(fields, number=1, several=False, extension='png')\n"
        "print(sys.getfilesystemencoding(), target.name)"
    )
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed == ["utf-8", "雪-fox-t.png"] or printed == ["ascii", "_-fox-t.png"]


# Names beside a target


def test_free_name_and_part_path_are_in_the_same_folder() -> None:
    taken = Path(CWD, "fox.png")
    assert free_name(taken, 2) == Path(CWD, "fox-2.png")
    assert free_name(Path(".hidden"), 3) == Path(".hidden-3")
    assert free_name(Path("fox"), 2) == Path("fox-2")
    for name in ("雪" * 85, "a" * 251 + ".png", "a." + "b" * 253):
        free = free_name(Path(name), 10)
        assert len(free.name.encode()) <= 255
        assert "-10" in free.name
    # A partial file is a hidden file in the same folder.
    assert part_path(taken, "op_ab12cd34", 2) == Path(CWD, ".seedream-op_ab12cd34-2.part")
    assert part_path(taken, "../x", 1).parent == Path(CWD)


# Operations


def test_fields_of_own_and_external_operation() -> None:
    request = GenerationRequest("A red fox", aspect_ratio="16:9")
    operation = Operation("op_1", "https://x", CREATED, "/x/{slug}", request, task_id="task_1")
    assert fields_of(operation) == replace(FOX, name="")
    external = fields_of(replace(operation, request=None))
    assert external == TemplateFields("image", "task_1", "", "", "", CREATED)
    assert expand(DEFAULT_TEMPLATE, external) == "image-task_1.png"


def test_operation_ids_are_random_or_derived_from_the_task() -> None:
    random_ids = {new_operation_id() for _ in range(1000)}
    assert len(random_ids) == 1000
    # An external task always has the same id.
    tasks = ["", "x", "task_1", "雪\ud800"]
    external = [external_operation_id(task) for task in tasks]
    assert external == [external_operation_id(task) for task in tasks]
    assert len(set(external)) == len(tasks)
    assert all(re.fullmatch("op_[0-9a-z]{8}", found) for found in (*random_ids, *external))
