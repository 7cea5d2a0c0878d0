"""What a manifest asks for, where the images go, and that everything wrong is told at once."""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.images import JPEG, png

from seedream_cli.config import Settings
from seedream_cli.errors import ExitCode, UsageProblem
from seedream_cli.models import MODELS, GenerationRequest
from seedream_cli.naming import EXTENSIONS, Fields, Output, parse_output
from seedream_cli.safe_names import slug
from seedream_cli.sync.image import digest_of, idempotency_key
from seedream_cli.sync.manifest import Manifest, load
from seedream_cli.sync.problems import InvalidManifest, Problem, dotted
from seedream_cli.sync.wanted import PathTemplate, same_file_key

EXAMPLE = """
[defaults]
dir = "assets"
aspect_ratio = "16:9"
[vars]
look = "flat vector, warm palette"
[assets.hero]
prompt = "A red fox in snow, {look}"
[assets.badge]
prompt_file = "prompts/badge.md"
aspect_ratio = "1:1"
path = "icons/badge-{n}.{ext}"
count = 2
take = 2
"""

Write = Callable[..., Manifest]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Loads a manifest of this text, with these files beside it."""

    def write(text: str, **files: str | bytes) -> Manifest:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            (tmp_path / name).write_bytes(data)
        (tmp_path / "seedream.toml").write_text(dedent(text), encoding="utf-8")
        return load(tmp_path / "seedream.toml")

    return write


Refuse = Callable[..., list[str]]


@pytest.fixture
def refuse(write: Write) -> Refuse:
    """The problems of a manifest, each as `line: key: what`."""

    def refuse(text: str, **files: str | bytes) -> list[str]:
        with pytest.raises(InvalidManifest) as caught:
            write(text, **files)
        return [f"{one.line}: {one.key}: {one.what}" for one in caught.value.problems]

    return refuse


def paths(manifest: Manifest) -> list[str]:
    return [path for image in manifest.images() for path in image.wanted.paths[:1]]


def of(asset: str, *, before: str = "") -> str:
    return f'{before}\n[assets.hero]\nprompt = "fox"\n{asset}\n'


# What is asked for


def test_the_example(write: Write, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts/badge.md").write_text("A fox's head, {look}\n")
    manifest = write(EXAMPLE)
    assert [(image.name, image.number, image.take) for image in manifest.images()] == [
        ("badge", 1, 2),
        ("badge", 2, 2),
        ("hero", 1, 1),
    ]
    badge, hero = manifest.assets
    assert badge.request == GenerationRequest(
        "A fox's head, flat vector, warm palette", "seedream-v4.5", "1:1", "2K"
    )
    assert hero.request == GenerationRequest(
        "A red fox in snow, flat vector, warm palette", "seedream-v4.5", "16:9", "2K"
    )
    assert badge.count == 2
    assert [wanted.path("png") for wanted in badge.wanted] == ["icons/badge-1.png", "icons/badge-2.png"]
    assert [wanted.path("jpg") for wanted in hero.wanted] == ["assets/hero.jpg"]
    assert manifest.folder == tmp_path
    assert manifest.lock_path == tmp_path / "seedream.lock"
    assert manifest.line_of("assets", "badge", "count") == 13


def test_the_settings_read_the_same_file(write: Write, tmp_path: Path) -> None:
    write('[defaults]\ndir = "assets"\nmodel = "seedream-5.0-lite"\ntimeout = 60\noutput = "x/"\n' + of(""))
    found = Settings({}, tmp_path, tmp_path / "config.toml")
    assert found.value("model") == "seedream-5.0-lite"


def test_an_asset_comes_before_the_defaults_and_those_before_the_programs(write: Write) -> None:
    text = """
    [defaults]
    model = "seedream-5.0-lite"
    quality = "3K"
    [assets.a]
    prompt = "fox"
    [assets.b]
    prompt = "fox"
    quality = "2K"
    aspect_ratio = "21:9"
    """
    a, b = write(text).assets
    assert a.request == GenerationRequest("fox", "seedream-5.0-lite", "1:1", "3K")
    assert b.request == GenerationRequest("fox", "seedream-5.0-lite", "21:9", "2K")


def test_nothing_but_the_manifest_decides(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write(of("")).assets
    monkeypatch.setenv("SEEDREAM_MODEL", "seedream-5.0-lite")
    monkeypatch.setenv("SEEDREAM_ASPECT_RATIO", "3:2")
    assert write(of("", before='[defaults]\ncallback_url = "https://ci.test"')).assets == before


def test_assets_are_sorted_by_name_whatever_their_order(write: Write) -> None:
    text = "".join(f'[assets.{name}]\nprompt = "x"\n' for name in ("b", "a", "B", "a-1", "a.b"))
    assert [
        asset.name for asset in write(text.replace("a.b", '"a.b"').replace("assets.B", "assets.C")).assets
    ] == [
        "C",
        "a",
        "a-1",
        "a.b",
        "b",
    ]


def test_a_manifest_may_have_no_assets(write: Write) -> None:
    assert list(write('[styles]\nink = "in ink"').images()) == []


@pytest.mark.parametrize("name", ["hero", "_x", "logo.v2", "7", "雪狐", "café", "लोमड़ी"])
def test_names_of_assets(write: Write, name: str) -> None:
    [image] = write(f'[assets."{name}"]\nprompt = "x"').images()
    assert image.name == name
    assert image.wanted.path("png") == f"{name}.png"


@pytest.mark.parametrize(
    "name", ["", ".x", "-x", "a b", "a/b", "../a", "a\\\\b", "é" * 61, "{n}", "a\\u0000"]
)
def test_names_that_no_asset_can_have(refuse: Refuse, name: str) -> None:
    [problem] = refuse(f'[assets."{name}"]\nprompt = "x"\npath = "{{name}}/x.png"')
    assert "is no name of an asset" in problem


# Prompts


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("A {animal}, {look}", "A red fox, {flat}"),
        ("{{animal}} {animal}}}", "{animal} red fox}"),
        ("  fox \\n\\n", "fox"),
        ("{empty}fox{empty}", "fox"),
        ("{2nd-look}", "ink"),
    ],
)
def test_variables_of_a_prompt(write: Write, text: str, prompt: str) -> None:
    variables = '[vars]\nanimal = "red fox"\nlook = "{flat}"\nempty = ""\n2nd-look = "ink"\n'
    [asset] = write(f'{variables}[assets.a]\nprompt = "{text}"').assets
    assert asset.request.prompt == prompt


def test_a_prompt_is_the_same_wherever_it_stands_and_whatever_its_line_ends(write: Write) -> None:
    digests = {
        write('[assets.a]\nprompt = "red\\nfox"').assets[0].digest,
        write('[assets.a]\nprompt = """\nred\nfox\n"""').assets[0].digest,
        write('[assets.a]\nprompt_file = "a.md"', **{"a.md": "red\nfox\n"}).assets[0].digest,
        write('[assets.a]\nprompt_file = "./a.md"', **{"a.md": b"\xef\xbb\xbfred\r\nfox\r\n\r\n"})
        .assets[0]
        .digest,
    }
    assert len(digests) == 1


def test_a_manifest_of_another_systems_line_ends_is_the_same(tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    text = '[assets.a]\nprompt = """\nred\nfox"""\n'
    found = []
    for data in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
        file.write_bytes(data.encode("utf-8"))
        found.append(load(file).assets)
    assert found == [found[0]] * 4


@pytest.mark.parametrize(
    ("prompt", "what"),
    [
        ("a {fox", "has a lone {: write {{ for a brace"),
        ("a fox}", "has a lone }: write }} for a brace"),
        ("{lok}", "has {lok}, and no variable is called so; did you mean 'look'?"),
        ("{name}", "has {name}, and no variable is called so"),
        ("{a b}", "has {a b}, which is no variable: write {{ and }} for braces"),
        ("{}", "has {}, which is no variable: write {{ and }} for braces"),
        ("", "the prompt is empty"),
        ("  {empty}\\n", "the prompt is empty"),
        ("x" * 4001, "the prompt has 4001 characters; seedream-v4.5 takes at most 4000"),
        ("{long}" * 41, "the prompt has 4100 characters; seedream-v4.5 takes at most 4000"),
    ],
)
def test_prompts_that_are_refused(refuse: Refuse, prompt: str, what: str) -> None:
    variables = f'[vars]\nlook = "ink"\nempty = ""\nlong = "{"x" * 100}"\n'
    assert refuse(f'{variables}[assets.a]\nprompt = "{prompt}"') == [f"6: assets.a.prompt: {what}"]


def test_every_unknown_variable_of_a_prompt_is_told_once(refuse: Refuse) -> None:
    found = refuse('[assets.a]\nprompt = "{b} {a} {b}"')
    assert found == [
        "2: assets.a.prompt: has {b}, and no variable is called so",
        "2: assets.a.prompt: has {a}, and no variable is called so",
    ]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("b.md", "x", "names b.md, which is not there"),
        ("sub/../..//out.md", "x", "leaves the project"),
        ("/etc/passwd", "x", "is absolute: paths are relative to the manifest's folder"),
        (".", "x", "names no file"),
        ("folder", "x", "names folder, which is no file"),
        ("a.md", b"\xff\xfe", "names a.md, which is not UTF-8 text"),
        ("a.md", b"x" * (1024 * 1024 + 1), "names a.md, which is too large for a prompt"),
        ("a.md", "a {b}", "a.md has {b}, and no variable is called so"),
        ("a.md", " \n", "the prompt is empty"),
    ],
)
def test_files_of_prompts_that_are_refused(
    refuse: Refuse, tmp_path: Path, name: str, content: str | bytes, what: str
) -> None:
    (tmp_path / "folder").mkdir()
    text = f'[assets.x]\nprompt_file = "{name}"\n[assets.y]\ncount = 1\nprompt_file = "{name}"\n'
    found = refuse(text, **{"a.md": content})
    assert found == [f"2: assets.x.prompt_file: {what}", f"5: assets.y.prompt_file: {what}"]


# Digests and keys, which no later version may change: images would be paid for again


def test_the_digest_is_that_of_the_exact_body() -> None:
    request = GenerationRequest('狐 "fox"\n', "seedream-v4.5", "16:9", "4K")
    body = '{"aspect_ratio":"16:9","model":"seedream-v4.5","prompt":"狐 \\"fox\\"\\n","quality":"4K"}'
    assert digest_of(request) == hashlib.sha256(body.encode("utf-8")).hexdigest()
    assert digest_of(request) == "d26ba802ab30a353edaef1263d0fdffaf90af4823fd2d8f239293c3f29f0c2e3"


def test_the_idempotency_key_is_the_same_for_ever() -> None:
    key = "sync-4d317dde2694d36245bcab98fcfc9833ef32f755d336e7cc1f89fe9fdc7172dd"
    assert idempotency_key("ab" * 32, 1, 1) == idempotency_key("ab" * 32, 1, 1, attempt=0) == key


def test_what_makes_another_key() -> None:
    keys = [
        idempotency_key("ab" * 32, 1, 1),
        idempotency_key("ac" * 32, 1, 1),
        idempotency_key("ab" * 32, 2, 1),
        idempotency_key("ab" * 32, 1, 2),
        idempotency_key("ab" * 32, 1, 1, attempt=1),
        idempotency_key("ab" * 32, 11, 1),
        idempotency_key("ab" * 32, 1, 11),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) <= 255 and key.isascii() and key.startswith("sync-") for key in keys)


def test_the_digest_has_what_changes_the_picture_and_nothing_else(write: Write) -> None:
    def digest(asset: str, before: str = "") -> str:
        return write(of(asset, before=before)).assets[0].digest

    same = {
        digest(""),
        digest('path = "x.png"'),
        digest("count = 3"),
        digest("take = 2"),
        digest('aspect_ratio = "1:1"'),
        digest("", '[defaults]\nquality = "2K"\ncallback_url = "https://x"'),
    }
    other = {
        digest('aspect_ratio = "3:2"'),
        digest('quality = "4K"'),
        digest('model = "seedream-5.0-lite"'),
        digest('model = "seedream-v5"'),
    }
    assert len(same) == 1
    assert len(other | same) == 5
    assert digest_of(GenerationRequest("fox")) in same
    assert digest_of(GenerationRequest("fox", callback_url="https://x")) in same
    assert digest_of(GenerationRequest("fox", image_urls=("https://x",))) not in same


# Paths


@pytest.mark.parametrize(
    ("asset", "expected"),
    [
        ("", ["art/hero.png"]),
        ("count = 2", ["art/hero-1.png", "art/hero-2.png"]),
        ('path = "x.{ext}"', ["x.png"]),
        ('path = "x.jpg"\ncount = 2', ["x-1.jpg", "x-2.jpg"]),
        ('path = "x"\ncount = 2', ["x-1", "x-2"]),
        ('path = "{n}/x.{ext}"\ncount = 2', ["1/x.png", "2/x.png"]),
        ('path = "icons/"', ["icons/hero.png"]),
        ('path = "icons/"\ncount = 2', ["icons/hero-1.png", "icons/hero-2.png"]),
        ('path = "{dir}"', ["art"]),
        ('path = "./a//b/../{name}.png"', ["a/hero.png"]),
        ('path = "{dir}/../x.png"', ["x.png"]),
        ('path = "{model}/{ratio}-{quality}-{slug}.{ext}"', ["seedream-v4.5/1x1-2K-fox.png"]),
        ('path = "{where}/{name}.{ext}"', ["deep/down/hero.png"]),
        ('path = "{brace}.png"', ["{n}.png"]),
        ('path = "{{n}}.png"\ncount = 2', ["{n}-1.png", "{n}-2.png"]),
        ('path = "v1.0/{name}"\ncount = 2', ["v1.0/hero-1", "v1.0/hero-2"]),
        ('path = ".png"\ncount = 2', [".png-1", ".png-2"]),
        ('path = "{ext}/x.{ext}"', ["png/x.png"]),
    ],
)
def test_paths(write: Write, asset: str, expected: list[str]) -> None:
    before = '[defaults]\ndir = "art"\n[vars]\nwhere = "deep/down"\nbrace = "{n}"\n'
    assert paths(write(of(asset, before=before))) == expected


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        (".", "hero.png"),
        ("a/", "a/hero.png"),
        ("./a/b", "a/b/hero.png"),
        ("{model}", "seedream-v4.5/hero.png"),
    ],
)
def test_folders(write: Write, folder: str, expected: str) -> None:
    assert paths(write(of("", before=f'[defaults]\ndir = "{folder}"'))) == [expected]


def test_without_a_folder_images_are_beside_the_manifest(write: Write) -> None:
    assert paths(write(of(""))) == ["hero.png"]


def test_the_ending_is_open_until_there_are_bytes(write: Write) -> None:
    [image] = write(of("")).images()
    assert image.wanted.open
    assert image.wanted.paths == ("hero.png", "hero.jpg", "hero.webp")
    [image] = write(of('path = "hero.png"')).images()
    assert not image.wanted.open
    assert image.wanted.paths == ("hero.png",)
    assert image.wanted.path("webp") == "hero.png"


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("", "is empty"),
        ("{empty}", "is empty"),
        ("/x.png", "is absolute"),
        ("{root}x.png", "is absolute"),
        ("C:/x.png", "is absolute"),
        ("../x.png", "leaves the project"),
        ("a/../../x.png", "leaves the project"),
        ("{up}/x.png", "leaves the project"),
        ("{name}/../../{name}.png", "leaves the project"),
        ("a\\\\b.png", "has a backslash"),
        ("a/..", "names no file"),
        (".", "names no file"),
        ("-", "names no file"),
        ("a\\u0001.png", "has what a terminal"),
        ("a\\u202eb.png", "has what a terminal"),
        ("::error::.png", "has what a terminal"),
        ("{", "has a lone {"),
        ("{task}.png", "cannot have {task}: it must be known before there is a task"),
        ("{date}.png", "cannot have {date}: it must be known before there is a task"),
        ("{time}.png", "cannot have {time}: it must be known before there is a task"),
        ("{nam}.png", "has {nam}, which is neither a field nor a variable; did you mean 'name'?"),
        ("{}.png", "has {}, which is neither a field nor a variable"),
        ("é" * 124 + ".png", "has a name of more than 250 bytes"),
        ("{name}" * 63 + ".png", "has a name of more than 250 bytes"),
        ("{name}" * 63 + "/x.png", "has a name of more than 250 bytes"),
        ("{name}" + "x" * 242 + ".{ext}", "has a name of more than 250 bytes"),
        ("seedream.toml", "leads to seedream.toml, which is the place of the manifest"),
        ("x/../SEEDREAM.LOCK", "leads to SEEDREAM.LOCK, which is the place of its lock"),
        ("seedream.lock/x.png", "leads through seedream.lock, which is the place of its lock"),
    ],
)
def test_paths_that_are_refused(refuse: Refuse, path: str, what: str) -> None:
    variables = '[vars]\nempty = ""\nroot = "/"\nup = "a/../.."'
    [problem] = refuse(of(f'path = "{path}"', before=variables))
    assert problem.startswith(f"7: assets.hero.path: {what}")


def test_every_wrong_field_of_a_path_is_told(refuse: Refuse) -> None:
    found = refuse(of('path = "{task}{foo}{task}{bar}.png"'))
    assert [one.split("{")[1][:4] for one in found] == ["task", "foo}", "bar}"]


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ('"../x"', "leaves the project"),
        ('"/tmp"', "is absolute"),
        ('""', "is empty"),
        ('"{dir}"', "has {dir}, which is neither a field nor a variable"),
        ('"{look}"', "has {look}, which is neither a field nor a variable"),
        ('"{task}"', "cannot have {task}"),
        ('"a\\\\b"', "has a backslash"),
        ("7", "is a number, not text"),
    ],
)
def test_folders_that_are_refused_are_told_once(refuse: Refuse, folder: str, what: str) -> None:
    before = f'[defaults]\ndir = {folder}\n[vars]\nlook = "x"\n[assets.x]\nprompt = "x"'
    [problem] = refuse(of("", before=before))
    assert problem.startswith(f"2: defaults.dir: {what}")


def test_what_would_go_to_a_refused_folder_is_in_nobodys_way(refuse: Refuse) -> None:
    before = '[defaults]\ndir = "../x"\n[assets.x]\nprompt = "x"\npath = "hero.png"'
    assert refuse(of("", before=before)) == ["2: defaults.dir: leaves the project"]


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ("a.png", "a.png", "leads to a.png, which is the place of assets.a"),
        ("a.png", "A.PNG", "leads to A.PNG, which is the place of assets.a"),
        ("é.png", "E\\u0301.png", "leads to E\u0301.png, which is the place of assets.a"),
        ("ß.png", "SS.png", "leads to SS.png, which is the place of assets.a"),
        ("a.{ext}", "a.jpg", "leads to a.jpg, which is the place of assets.a"),
        ("a.webp", "A.{ext}", "leads to A.webp, which is the place of assets.a"),
        ("x/../a.{ext}", "./a.{ext}", "leads to a.png, which is the place of assets.a"),
        ("a", "a/b.png", "leads through a, which is the place of assets.a"),
        ("A/b/c.png", "a", None),
        ("a.{ext}", "a.png/b.png", "leads through a.png, which is the place of assets.a"),
    ],
)
def test_two_assets_with_one_path(refuse: Refuse, first: str, second: str, what: str | None) -> None:
    found = refuse(f'[assets.a]\nprompt = "x"\npath = "{first}"\n[assets.b]\nprompt = "x"\npath = "{second}"')
    if what is None:
        assert found == ["3: assets.a.path: leads through a, which is the place of assets.b"]
    else:
        assert found == [f"6: assets.b.path: {what}"]


def test_the_later_of_two_is_told_with_the_image_of_the_first(refuse: Refuse) -> None:
    found = refuse('[assets.z]\nprompt = "x"\ncount = 3\n[assets.z-2]\nprompt = "x"\n')
    assert found == ["4: assets.z-2: leads to z-2.png, which is the place of image 2 of assets.z"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("a.png", "a.jpg"),
        ("a.{ext}", "a.jpeg"),
        ("a.{ext}", "a"),
        ("a/b.png", "a.b/c.png"),
        ("e.png", "é.png"),
    ],
)
def test_paths_that_differ(write: Write, first: str, second: str) -> None:
    write(f'[assets.a]\nprompt = "x"\npath = "{first}"\n[assets.b]\nprompt = "x"\npath = "{second}"')


PATHS = st.lists(
    st.sampled_from(
        ["a", "A", "b", "é", "e\u0301", "a.{ext}", "a.png", "a.PNG", "a-1.jpg", "{n}", "x/{name}"]
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@given(st.lists(st.tuples(PATHS, st.integers(1, 2)), min_size=1, max_size=5))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_two_images_have_one_path(write: Write, assets: list[tuple[str, int]]) -> None:
    def all_paths() -> list[set[str]]:
        found = []
        for index, (path, count) in enumerate(assets):
            template = PathTemplate(path, variables={}, folder=[], several=count > 1)
            for number in range(1, count + 1):
                wanted = template.wanted(f"n{index}", number, GenerationRequest("x"))
                found.append({same_file_key(one) for one in wanted.paths})
        return found

    sets = all_paths()
    files = set().union(*sets)
    clash = any(one & other for index, one in enumerate(sets) for other in sets[:index])
    under = any(
        "/".join(file.split("/")[:depth]) in files
        for file in files
        for depth in range(1, file.count("/") + 1)
    )
    text = "".join(
        f'[assets.n{index}]\nprompt = "x"\npath = "{path}"\ncount = {count}\n'
        for index, (path, count) in enumerate(assets)
    )
    if clash or under:
        with pytest.raises(InvalidManifest):
            write(text)
    else:
        write(text)


# The same rules as those of --output

NAMES = st.sampled_from(["hero", "logo.v2", "con", "雪狐", "a" * 120])
TEXTS = st.text(alphabet="ab.-_ {}x", max_size=5).map(lambda text: text.replace("{", "{{").replace("}", "}}"))
PIECES = TEXTS | st.sampled_from(["{name}", "{n}", "{ext}", "{model}", "{ratio}", "{quality}", "{slug}", "."])
COMPONENTS = st.lists(PIECES, min_size=1, max_size=4).map("".join).filter(lambda text: text.strip("."))
PROMPTS = st.sampled_from(["A red fox, in snow!", "雪中的红狐", "!", "x" * 300])


@given(
    st.lists(COMPONENTS, min_size=1, max_size=3).map("/".join),
    NAMES,
    PROMPTS,
    st.integers(1, 12),
    st.booleans(),
)
@example("{name}", "logo.v2", "x", 2, True)
@example("-", "hero", "x", 1, False)
@example("{name}{name}{name}{ext}", "a" * 120, "x", 1, False)
@example("{name}.", "hero", "x", 1, False)
@example("{ext}", "con", "x", 1, True)
@example("a.{ext}.", "hero", "x", 2, True)
@example("..{ext}", "hero", "x", 2, True)
def test_a_path_is_what_output_makes_of_it(
    text: str, name: str, prompt: str, number: int, several: bool
) -> None:
    request = GenerationRequest(prompt, "a/model", "21:9", "4K")
    try:
        template = PathTemplate(text, variables={}, folder=[], several=several)
        wanted = template.wanted(name, number, request)
    except ValueError as error:
        assert error.args[0] == "has a name of more than 250 bytes" or text == "-"
        return
    fields = Fields(slug(prompt), "", "a/model", "21:9", "4K", 0.0, name)
    output = parse_output(text, cwd="/project")
    # What is left open is closed by the rules of --output too, once there are bytes.
    kept = Output(wanted.template("/project"))
    for extension in EXTENSIONS:
        expected = output.target(fields, number=number, several=several, extension=extension)
        assert f"/project/{wanted.path(extension)}" == os.path.normpath(expected)
        assert str(kept.target(fields, number=1, several=False, extension=extension)) == os.path.normpath(
            expected
        )
        assert len(wanted.path(extension).encode()) <= 250 * (1 + text.count("/"))
    assert kept.explicit_ending == output.explicit_ending


# What is wrong


def test_everything_wrong_is_told_at_once_in_order_of_line(refuse: Refuse) -> None:
    text = """\
    [defaults]
    qualty = "2K"
    api_key = "sk-secret"
    timeout = "soon"
    max_bytes = [1]
    [vars]
    n = "x"
    "a b" = "x"
    number = 3
    [styles]
    ink = 7
    [asset.x]
    [assets.both]
    prompt = "x {number}"
    prompt_file = "x.md"
    [assets.none]
    take = 0
    [assets.hero]
    promt = "x"
    prompt = ["x"]
    model = ""
    quality = 4
    aspect_ratio = "5:4"
    count = true
    path = 1
    [assets]
    flat = "x"
    """
    found = refuse(text)
    assert found == [
        "2: defaults.qualty: is unknown; did you mean 'quality'?",
        "3: defaults.api_key: is not read from a project's file",
        "4: defaults.timeout: 'soon' is not a number of seconds from 0 to 2592000 (30 days)",
        "5: defaults.max_bytes: is an array, neither text nor a number",
        "7: vars.n: is a field of paths: {n} would be two things",
        '8: vars."a b": is no name of a variable: letters, digits, - and _',
        "9: vars.number: is a number, not text",
        "11: styles.ink: is a number, not text",
        "12: asset: is unknown; did you mean 'assets'?",
        "15: assets.both.prompt_file: contradicts prompt: an asset has one of them",
        "16: assets.none: has neither prompt nor prompt_file",
        "17: assets.none.take: is not a whole number from 1 to 1000000",
        "19: assets.hero.promt: is unknown; did you mean 'prompt'?",
        "20: assets.hero.prompt: is an array, not text",
        "21: assets.hero.model: is empty",
        "22: assets.hero.quality: is a number, not text",
        "23: assets.hero.aspect_ratio: aspect ratio '5:4' is not one of "
        "1:1, 2:3, 3:2, 3:4, 4:3, 16:9, 9:16, 21:9",
        "24: assets.hero.count: is not a whole number from 1 to 1000",
        "25: assets.hero.path: is a number, not text",
        "27: assets.flat: is text, not a table",
    ]


def test_problems_are_a_usage_error_with_a_line_each(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    with pytest.raises(InvalidManifest) as caught:
        write("[assets.a]\ntake = 0\n")
    error = caught.value
    assert isinstance(error, UsageProblem)
    assert error.exit_code == ExitCode.USAGE
    assert error.code == "invalid_manifest"
    assert error.message == f"{file} has 2 problems"
    first, second = error.problems
    assert error.detail == f"{first}\n{second}"
    assert str(second) == f"{file}:2: assets.a.take: is not a whole number from 1 to 1000000"
    assert second.document() == {
        "file": str(file),
        "line": 2,
        "key": "assets.a.take",
        "what": "is not a whole number from 1 to 1000000",
    }


def test_a_single_problem_is_the_message(write: Write, tmp_path: Path) -> None:
    with pytest.raises(InvalidManifest) as caught:
        write("[assets.a]\n")
    assert (
        caught.value.message
        == f"{tmp_path / 'seedream.toml'}:1: assets.a: has neither prompt nor prompt_file"
    )
    assert caught.value.detail is None


def test_a_default_that_suits_no_asset_is_told_once_where_it_stands(refuse: Refuse) -> None:
    text = '[defaults]\nquality = "8K"\n' + "".join(f'[assets.a{n}]\nprompt = "x"\n' for n in range(20))
    assert refuse(text) == ["2: defaults.quality: quality '8K' is not one of 2K, 4K (seedream-v4.5)"]


@pytest.mark.parametrize(
    ("asset", "before", "expected"),
    [
        ('quality = "3K"', "", "4: assets.hero.quality: quality '3K' is not one of 2K, 4K (seedream-v4.5)"),
        (
            'model = "seedream-5.0-lite"',
            '[defaults]\nquality = "4K"',
            "5: assets.hero.model: quality '4K' is not one of 2K, 3K (seedream-5.0-lite)",
        ),
        (
            'quality = "4K"',
            '[defaults]\nmodel = "seedream-5.0-lite"',
            "5: assets.hero.quality: quality '4K' is not one of 2K, 3K (seedream-5.0-lite)",
        ),
    ],
)
def test_a_value_that_does_not_suit_the_model(refuse: Refuse, asset: str, before: str, expected: str) -> None:
    assert refuse(of(asset, before=before)) == [expected]


@pytest.mark.parametrize("model", [name for name, row in MODELS.items() if row.needs_images])
def test_models_that_edit_are_refused_without_an_image(refuse: Refuse, model: str) -> None:
    found = refuse(of(f'model = "{model}"\nquality = "9K"'))
    assert (
        found[0] == f"4: assets.hero.model: is {model}, which edits images, and the asset has none (images)"
    )
    assert found[1].startswith("5: assets.hero.quality: quality '9K' is not one of")
    [found_one] = refuse(f'[defaults]\nmodel = "{model}"\n[assets.a]\nprompt = "x"\n[assets.b]\nprompt = "y"')
    assert found_one.startswith("2: defaults.model: ")


def test_an_unknown_model_is_the_services_to_judge(write: Write) -> None:
    [asset] = write(of('model = "seedream-9"\nquality = "8K"\naspect_ratio = "5:4"')).assets
    assert asset.request == GenerationRequest("fox", "seedream-9", "5:4", "8K")


@pytest.mark.parametrize("table", ["defaults", "vars", "styles", "assets"])
@pytest.mark.parametrize("value", ["1", '"x"', "[{}]"])
def test_tables_that_are_none(refuse: Refuse, table: str, value: str) -> None:
    [problem] = refuse(f"# first\n{table} = {value}\n")
    assert problem.startswith(f"2: {table}: is ")
    assert problem.endswith(", not a table")


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a = 1\nb = = 2\n", 2, "not valid TOML in column 5: "),
        ("[assets.a]\n[assets.a]\n", 2, "not valid TOML in column "),
        ('a = 1\nb = """\n\n', 3, "not valid TOML at the file's end: "),
        ("a = 1\nb = ", 2, "not valid TOML at the file's end: "),
        ("a = " + "[" * 100_000, 1, "not valid TOML: "),
        (f"a = {'1' * 5000}", 1, "not valid TOML: "),
    ],
)
def test_what_is_no_toml(refuse: Refuse, text: str, line: int, what: str) -> None:
    [problem] = refuse(text)
    assert problem.startswith(f"{line}: : {what}")


def test_what_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    file.write_bytes(b"a = 1\r\nb = '\xff'\n")
    with pytest.raises(InvalidManifest, match=r"seedream.toml:2: is not UTF-8 text"):
        load(file)


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="there is no manifest"):
        load(tmp_path / "seedream.toml")
    with pytest.raises(UsageProblem, match="cannot be read: "):
        load(tmp_path)
    with pytest.raises(UsageProblem, match="is a lock, not a manifest"):
        load(tmp_path / "seedream.lock")


def test_another_manifest_has_a_lock_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "icons.toml").write_text('[assets.icons]\nprompt = "x"\npath = "icons.lock"')
    with pytest.raises(InvalidManifest, match="the place of its lock"):
        load(tmp_path / "icons.toml")


def test_a_manifest_is_found_from_anywhere(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts").mkdir()
    write('[assets.a]\nprompt_file = "a.md"', **{"a.md": "x"})
    monkeypatch.chdir(tmp_path / "prompts")
    manifest = load(Path("../seedream.toml"))
    assert manifest.folder == tmp_path
    assert manifest.path == Path("../seedream.toml")


def test_keys_with_dots_are_told_as_toml_has_them() -> None:
    assert dotted(("assets", "logo.v2", "path")) == 'assets."logo.v2".path'
    assert str(Problem("a.toml", 3, "", "is wrong")) == "a.toml:3: is wrong"


def test_a_number_beyond_all_bounds_is_a_problem_like_any_other(refuse: Refuse) -> None:
    [problem] = refuse(of(f"take = 0x{'f' * 9000}"))
    assert problem.startswith("4: assets.hero.take: ")
    [problem] = refuse(of("", before=f"[defaults]\ntimeout = 0x{'f' * 9000}"))
    assert problem.startswith("2: defaults.timeout: ")


def test_thousands_of_mistakes_are_told_without_much_ado(refuse: Refuse) -> None:
    text = "".join(f'[assets.a{n}]\npromt = "{{lok}}"\n' for n in range(2000))
    assert len(refuse(text)) == 4000


# Source images and the prompt's parts


class TestSourceImages:
    def test_pick_the_edit_form_and_are_part_of_the_digest(self, write: Write) -> None:
        text = of('images = ["a.png", "https://x.test/b.png"]')
        [asset] = write(text, **{"a.png": png()}).assets
        assert asset.request.model == "seedream-v4.5-edit"
        reference, url = asset.request.image_urls
        assert reference == f"data:image/png;bytes={len(png())};sha256={hashlib.sha256(png()).hexdigest()}"
        assert url == "https://x.test/b.png"
        [other] = write(text, **{"a.png": png(shade=3)}).assets
        assert other.digest != asset.digest
        [same] = write(of('images = ["copy.png", "https://x.test/b.png"]'), **{"copy.png": png()}).assets
        assert same.digest == asset.digest

    def test_are_at_hand_for_what_is_sent(self, write: Write) -> None:
        [asset] = write(of('images = ["a.jpg"]'), **{"a.jpg": JPEG}).assets
        [source] = asset.sources
        assert source.data_uri() == f"data:image/jpeg;base64,{b64encode(JPEG).decode()}"

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            ('["nope.png"]', "has a wrong one: source image nope.png: there is no such file"),
            ('["text.md"]', "has a wrong one: source image text.md: not a PNG, JPEG or WebP image"),
            ('["../a.png"]', "has '../a.png', which leaves the project"),
            ('["/etc/a.png"]', "has '/etc/a.png', which is absolute"),
            ('["out.png"]', "has 'out.png', which leaves the project"),
            ('["http://x.test/a.png"]', "has a wrong one: source image http://x.test/a.png: only https"),
            ('["https://me:pw@x.test/a.png"]', "has a wrong one: source image https://x.test/a.png: the URL"),
            ('"a.png"', "is text, not an array of paths and URLs"),
            ("[1]", "is a number, not text"),
        ],
    )
    def test_that_cannot_be_sent(self, refuse: Refuse, tmp_path: Path, value: str, reason: str) -> None:
        outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
        outside.write_bytes(png())
        (tmp_path / "out.png").symlink_to(outside)
        [found] = refuse(of(f"images = {value}"), **{"text.md": "a fox"})
        assert found.startswith(f"4: assets.hero.images: {reason}")

    def test_are_at_most_14(self, refuse: Refuse) -> None:
        [found] = refuse(of(f"images = {['https://x.test/a.png'] * 15}"))
        assert found.endswith("has 15 source images; seedream-v4.5-edit takes at most 14")


class TestPartsOfThePrompt:
    @pytest.mark.parametrize(
        ("asset", "prompt"),
        [
            ('details = "soft light"', "fox, soft light"),
            ('details = "{tone} light"\nstyle = "ink"', "fox, warm light, {drawn} in ink"),
            ('style = "in {tone} colours, 35mm"', "fox, in warm colours, 35mm"),
        ],
    )
    def test_are_joined(self, write: Write, asset: str, prompt: str) -> None:
        before = '[vars]\ntone = "warm"\n[styles]\nink = "{drawn} in ink"'
        [image] = write(of(asset, before=before)).images()
        assert image.request.prompt == prompt
        assert image.digest == digest_of(GenerationRequest(prompt))

    def test_one_word_that_is_nearly_a_styles_name(self, refuse: Refuse) -> None:
        [found] = refuse(of('style = "watercolor"', before='[styles]\nwatercolour = "x"'))
        assert found.endswith("no style is called 'watercolor'; did you mean 'watercolour'?")

    def test_count_together_against_the_limit(self, refuse: Refuse) -> None:
        [found] = refuse(of(f'details = "{"x" * 3996}"'))
        assert (
            found == "3: assets.hero.prompt: the prompt has 4001 characters; seedream-v4.5 takes at most 4000"
        )
