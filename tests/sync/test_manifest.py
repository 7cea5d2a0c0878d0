"""The requests and paths of a manifest's images, and the report of all its mistakes at once."""

from __future__ import annotations

import hashlib
import os
import re
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
from support.images import JPEG, png

from seedream_cli.errors import ExitCode, InvalidManifest, UsageError
from seedream_cli.files.output_path import EXTENSIONS, OutputTemplate, TemplateFields, parse_output
from seedream_cli.files.safe_names import slug
from seedream_cli.models import GenerationRequest
from seedream_cli.sync.assets import digest_of, idempotency_key
from seedream_cli.sync.manifest import Manifest, load_manifest
from seedream_cli.sync.path_template import PathTemplate

EXAMPLE = """
[defaults]
dir = "assets"
aspect_ratio = "16:9"
model = "seedream-5.0-lite"
[vars]
look = "flat vector, warm palette"
[assets.hero]
quality = "3K"
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
    """Return a function that writes a manifest and files beside it, and loads the manifest."""

    def write(text: str, **files: str | bytes) -> Manifest:
        for name, content in files.items():
            data = content if isinstance(content, bytes) else content.encode("utf-8")
            (tmp_path / name).write_bytes(data)
        (tmp_path / "seedream.toml").write_text(dedent(text), encoding="utf-8")
        return load_manifest(tmp_path / "seedream.toml")

    return write


Refuse = Callable[..., list[str]]


@pytest.fixture
def refuse(write: Write) -> Refuse:
    """Return a function that returns the problems of an invalid manifest, each as `line: key`.

    With ``reasons``, each is `line: key: reason`.
    """

    def refuse(text: str, *, reasons: bool = False, **files: str | bytes) -> list[str]:
        with pytest.raises(InvalidManifest) as caught:
            write(text, **files)
        problems = caught.value.problems
        assert all(problem.what for problem in problems)
        return [
            f"{problem.line}: {problem.key}" + (f": {problem.what}" if reasons else "")
            for problem in problems
        ]

    return refuse


def paths(manifest: Manifest) -> list[str]:
    return [path for image in manifest.images() for path in image.target.paths[:1]]


def hero(asset: str, *, before: str = "") -> str:
    """Return a manifest with one asset that has these lines, and other tables before it."""
    return f'{before}\n[assets.hero]\nprompt = "fox"\n{asset}\n'


def test_manifest_example(write: Write, tmp_path: Path) -> None:
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
        "A fox's head, flat vector, warm palette", "seedream-5.0-lite", "1:1", "2K"
    )
    assert hero.request == GenerationRequest(
        "A red fox in snow, flat vector, warm palette", "seedream-5.0-lite", "16:9", "3K"
    )
    assert badge.count == 2
    assert [target.path("png") for target in badge.targets] == ["icons/badge-1.png", "icons/badge-2.png"]
    assert [target.path("jpg") for target in hero.targets] == ["assets/hero.jpg"]
    assert manifest.folder == tmp_path
    assert manifest.lockfile_path == tmp_path / "seedream.lock"
    assert manifest.line_of("assets", "badge", "count") == 15


@pytest.mark.parametrize("name", ["hero", "_x", "logo.v2", "7", "雪狐", "café", "लोमड़ी"])
def test_asset_names(write: Write, name: str) -> None:
    [image] = write(f'[assets."{name}"]\nprompt = "x"').images()
    assert image.name == name
    assert image.target.path("png") == f"{name}.png"


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        *(("A {animal}, {look}", "A red fox, {flat}"), ("{{animal}} {animal}}}", "{animal} red fox}")),
        *(("  fox \\n\\n", "fox"), ("{empty}fox{empty}", "fox"), ("{2nd-look}", "ink")),
    ],
)
def test_prompt_variables(write: Write, text: str, prompt: str) -> None:
    variables = '[vars]\nanimal = "red fox"\nlook = "{flat}"\nempty = ""\n2nd-look = "ink"\n'
    [asset] = write(f'{variables}[assets.a]\nprompt = "{text}"').assets
    assert asset.request.prompt == prompt


def test_prompt_is_equal_inline_and_in_file(write: Write) -> None:
    digests = {
        write('[assets.a]\nprompt = "red\\nfox"').assets[0].digest,
        write('[assets.a]\nprompt = """\nred\nfox\n"""').assets[0].digest,
        write('[assets.a]\nprompt_file = "a.md"', **{"a.md": "red\nfox\n"}).assets[0].digest,
        write('[assets.a]\nprompt_file = "./a.md"', **{"a.md": b"\xef\xbb\xbfred\r\nfox\r\n\r\n"})
        .assets[0]
        .digest,
    }
    assert len(digests) == 1


def test_manifest_with_crlf_is_equal(tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    text = '[assets.a]\nprompt = """\nred\nfox"""\n'
    found = []
    for data in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
        file.write_bytes(data.encode("utf-8"))
        found.append(load_manifest(file).assets)
    assert found == [found[0]] * 4


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        *(("a {fox", "{{"), ("a fox}", "}}"), ("{lok}", "'look'"), ("{name}", "{name}"), ("{a b}", "{a b}")),
        *(
            ("{}", "{}"),
            ("", "empty"),
            ("  {empty}\\n", "empty"),
            ("x" * 4001, "4001"),
            ("{long}" * 41, "4100"),
        ),
    ],
)
def test_prompt_refused(refuse: Refuse, prompt: str, reason: str) -> None:
    variables = f'[vars]\nlook = "ink"\nempty = ""\nlong = "{"x" * 100}"\n'
    [problem] = refuse(f'{variables}[assets.a]\nprompt = "{prompt}"', reasons=True)
    assert problem.startswith("6: assets.a.prompt: ")
    assert reason in problem


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((name, "x") for name in ("b.md", "sub/../..//out.md", "/etc/passwd", ".", "folder")),
        *(("a.md", content) for content in (b"\xff\xfe", b"x" * (1024 * 1024 + 1), "a {b}", " \n")),
    ],
)
def test_prompt_file_refused(refuse: Refuse, tmp_path: Path, name: str, content: str | bytes) -> None:
    (tmp_path / "folder").mkdir()
    text = f'[assets.x]\nprompt_file = "{name}"\n[assets.y]\ncount = 1\nprompt_file = "{name}"\n'
    assert refuse(text, **{"a.md": content}) == ["2: assets.x.prompt_file", "5: assets.y.prompt_file"]


# Digests and idempotency keys may never change: every image would be paid for again.


def test_digest_of_exact_body() -> None:
    request = GenerationRequest('狐 "fox"\n', "seedream-v4.5", "16:9", "4K")
    body = '{"aspect_ratio":"16:9","model":"seedream-v4.5","prompt":"狐 \\"fox\\"\\n","quality":"4K"}'
    assert digest_of(request) == hashlib.sha256(body.encode("utf-8")).hexdigest()
    assert digest_of(request) == "d26ba802ab30a353edaef1263d0fdffaf90af4823fd2d8f239293c3f29f0c2e3"


def test_idempotency_key_never_changes() -> None:
    key = "sync-4d317dde2694d36245bcab98fcfc9833ef32f755d336e7cc1f89fe9fdc7172dd"
    assert idempotency_key("ab" * 32, 1, 1) == idempotency_key("ab" * 32, 1, 1, attempt=0) == key


def test_idempotency_key_depends_on() -> None:
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


def test_digest_depends_on_image_fields_only(write: Write) -> None:
    def digest(asset: str, before: str = "") -> str:
        return write(hero(asset, before=before)).assets[0].digest

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
def test_path_template(write: Write, asset: str, expected: list[str]) -> None:
    before = '[defaults]\ndir = "art"\n[vars]\nwhere = "deep/down"\nbrace = "{n}"\n'
    assert paths(write(hero(asset, before=before))) == expected


@pytest.mark.parametrize(
    ("folder", "expected"),
    [(".", "hero.png"), ("./a//b/", "a/b/hero.png"), ("{model}", "seedream-v4.5/hero.png")],
)
def test_dir_template(write: Write, folder: str, expected: str) -> None:
    assert paths(write(hero("", before=f'[defaults]\ndir = "{folder}"'))) == [expected]


def test_path_extension_is_open_until_bytes_are_known(write: Write) -> None:
    [image] = write(hero("")).images()
    assert image.target.open
    assert image.target.paths == ("hero.png", "hero.jpg", "hero.webp")
    [image] = write(hero('path = "hero.png"')).images()
    assert not image.target.open
    assert image.target.paths == ("hero.png",)
    assert image.target.path("webp") == "hero.png"


@pytest.mark.parametrize(
    "path",
    [
        *("", "{empty}", "a/..", ".", "-"),
        *("/x.png", "{root}x.png", "C:/x.png", "a\\\\b.png"),
        *("../x.png", "a/../../x.png", "{up}/x.png", "{name}/../../{name}.png"),
        *("a\\u0001.png", "a\\u202eb.png", "::error::.png"),
        *("{", "{}.png", "{nam}.png", "{task}.png", "{date}.png", "{time}.png"),
        *(
            "é" * 124 + ".png",
            "{name}" * 63 + ".png",
            "{name}" * 63 + "/x.png",
            "{name}" + "x" * 242 + ".{ext}",
        ),
        *("seedream.toml", "x/../SEEDREAM.LOCK", "seedream.lock/x.png"),
    ],
)
def test_path_refused(refuse: Refuse, path: str) -> None:
    variables = '[vars]\nempty = ""\nroot = "/"\nup = "a/../.."'
    assert refuse(hero(f'path = "{path}"', before=variables)) == ["7: assets.hero.path"]


@pytest.mark.parametrize("folder", ['"../x"', '"/tmp"', '""', '"{dir}"', '"{look}"', '"{task}"', '"a\\\\b"'])
def test_dir_refused_is_reported_once(refuse: Refuse, folder: str) -> None:
    # Images in {dir} collide with no other path until it is corrected.
    before = f'[defaults]\ndir = {folder}\n[vars]\nlook = "x"\n[assets.x]\nprompt = "x"\npath = "hero.png"'
    assert refuse(hero("", before=before)) == ["2: defaults.dir"]


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        *(("a.png", "a.png", "a.png"), ("a.png", "A.PNG", "A.PNG")),
        *(("é.png", "E\\u0301.png", "E\u0301.png"), ("ß.png", "SS.png", "SS.png")),
        *(("a.{ext}", "a.jpg", "a.jpg"), ("a.webp", "A.{ext}", "A.webp")),
        *(("x/../a.{ext}", "./a.{ext}", "a.png"), ("a", "a/b.png", "a")),
        ("a.{ext}", "a.png/b.png", "a.png"),
    ],
)
def test_path_of_two_assets_is_refused(refuse: Refuse, first: str, second: str, path: str) -> None:
    text = f'[assets.a]\nprompt = "x"\npath = "{first}"\n[assets.b]\nprompt = "x"\npath = "{second}"'
    [problem] = refuse(text, reasons=True)
    assert problem.startswith("6: assets.b.path: ")
    assert f" {path}, " in problem
    assert "assets.a" in problem


def test_path_collision_names_later_asset(refuse: Refuse) -> None:
    text = '[assets.a]\nprompt = "x"\npath = "A/b/c.png"\n[assets.b]\nprompt = "x"\npath = "a"'
    assert refuse(text) == ["3: assets.a.path"]
    [problem] = refuse('[assets.z]\nprompt = "x"\ncount = 3\n[assets.z-2]\nprompt = "x"\n', reasons=True)
    assert problem.startswith("4: assets.z-2: ")
    assert "image 2 of assets.z" in problem


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *(("a.png", "a.jpg"), ("a.{ext}", "a.jpeg"), ("a.{ext}", "a"), ("a/b.png", "a.b/c.png")),
        ("e.png", "é.png"),
    ],
)
def test_paths_that_do_not_collide(write: Write, first: str, second: str) -> None:
    write(f'[assets.a]\nprompt = "x"\npath = "{first}"\n[assets.b]\nprompt = "x"\npath = "{second}"')


@pytest.mark.parametrize(
    ("text", "name", "number", "several"),
    [
        ("{name}", "logo.v2", 2, True),
        ("-{n}.{slug}/{model}-{quality}.{ext}", "hero", 1, False),
        *(("{ratio}/x{{}}", "雪狐", 12, True), ("{name}{name}{name}{ext}", "a" * 80, 1, False)),
        *(("{slug}.{ext}", "hero", 3, True), ("{name}.", "hero", 1, False), ("{ext}", "con", 1, True)),
        *(("a.{ext}.", "hero", 2, True), ("..{ext}", "hero", 2, True)),
    ],
)
@pytest.mark.parametrize("prompt", ["A red fox, in snow!", "雪中的红狐", "x" * 300])
def test_path_equals_output_template(text: str, name: str, prompt: str, number: int, several: bool) -> None:
    request = GenerationRequest(prompt, "a/model", "21:9", "4K")
    template = PathTemplate(text, variables={}, folder=[], several=several)
    target = template.target(name, number, request)
    fields = TemplateFields(slug(prompt), "", "a/model", "21:9", "4K", 0.0, name)
    output = parse_output(text, cwd="/project")
    # Once the bytes are known, an open path is completed as an output template.
    completed = OutputTemplate(target.template("/project"))
    for extension in EXTENSIONS:
        expected = output.target(fields, number=number, several=several, extension=extension)
        assert f"/project/{target.path(extension)}" == os.path.normpath(expected)
        assert str(
            completed.target(fields, number=1, several=False, extension=extension)
        ) == os.path.normpath(expected)
        assert len(target.path(extension).encode()) <= 250 * (1 + text.count("/"))
    assert completed.explicit_ending == output.explicit_ending


def test_manifest_reports_all_mistakes_by_line(refuse: Refuse) -> None:
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
    assert refuse(text) == [
        *("2: defaults.qualty", "3: defaults.api_key", "4: defaults.timeout", "5: defaults.max_bytes"),
        *("7: vars.n", '8: vars."a b"', "9: vars.number", "11: styles.ink", "12: asset"),
        *("15: assets.both.prompt_file", "16: assets.none", "17: assets.none.take"),
        *("19: assets.hero.promt", "20: assets.hero.prompt", "21: assets.hero.model"),
        *("22: assets.hero.quality", "23: assets.hero.aspect_ratio", "24: assets.hero.count"),
        *("25: assets.hero.path", "27: assets.flat"),
    ]
    problems = " ".join(refuse(text, reasons=True))
    assert all(suggestion in problems for suggestion in ("'quality'", "'assets'", "'prompt'"))


def test_manifest_mistakes_are_usage_error(write: Write, tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    with pytest.raises(InvalidManifest) as caught:
        write("[assets.a]\ntake = 0\n")
    error = caught.value
    assert isinstance(error, UsageError)
    assert (error.exit_code, error.code) == (ExitCode.USAGE, "invalid_manifest")
    assert str(file) in error.message
    first, second = error.problems
    assert error.detail == f"{first}\n{second}"
    assert str(second).startswith(f"{file}:2: assets.a.take: ")
    assert (second.file, second.line, second.key) == (str(file), 2, "assets.a.take")
    with pytest.raises(InvalidManifest) as caught:
        write("[assets.a]\n")
    assert (caught.value.message, caught.value.detail) == (str(caught.value.problems[0]), None)


def test_default_refused_is_reported_once(refuse: Refuse) -> None:
    text = '[defaults]\nquality = "8K"\n' + "".join(f'[assets.a{n}]\nprompt = "x"\n' for n in range(20))
    assert refuse(text) == ["2: defaults.quality"]


@pytest.mark.parametrize("table", ["defaults", "vars", "styles", "assets"])
@pytest.mark.parametrize("value", ["1", '"x"', "[{}]"])
def test_tables_of_wrong_type(refuse: Refuse, table: str, value: str) -> None:
    assert refuse(f"# first\n{table} = {value}\n") == [f"2: {table}"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        *(("a = 1\nb = = 2\n", 2), ("[assets.a]\n[assets.a]\n", 2), ('a = 1\nb = """\n\n', 3)),
        *(("a = 1\nb = ", 2), ("a = " + "[" * 100_000, 1), (f"a = {'1' * 5000}", 1)),
    ],
)
def test_manifest_invalid_toml(refuse: Refuse, text: str, line: int) -> None:
    assert refuse(text) == [f"{line}: "]


def test_manifest_invalid_utf8(tmp_path: Path) -> None:
    file = tmp_path / "seedream.toml"
    file.write_bytes(b"a = 1\r\nb = '\xff'\n")
    with pytest.raises(InvalidManifest, match=r"seedream.toml:2: "):
        load_manifest(file)


def test_manifest_missing_or_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"seedream\.toml"):
        load_manifest(tmp_path / "seedream.toml")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        load_manifest(tmp_path)
    with pytest.raises(UsageError, match=r"seedream\.lock"):
        load_manifest(tmp_path / "seedream.lock")


def test_lockfile_path_of_other_manifest(tmp_path: Path) -> None:
    (tmp_path / "icons.toml").write_text('[assets.icons]\nprompt = "x"\npath = "icons.lock"')
    with pytest.raises(InvalidManifest, match=r"icons\.lock"):
        load_manifest(tmp_path / "icons.toml")


def test_manifest_path_from_other_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts").mkdir()
    write('[assets.a]\nprompt_file = "a.md"', **{"a.md": "x"})
    monkeypatch.chdir(tmp_path / "prompts")
    manifest = load_manifest(Path("../seedream.toml"))
    assert manifest.folder == tmp_path
    assert manifest.path == Path("../seedream.toml")


def test_manifest_huge_number(refuse: Refuse) -> None:
    assert refuse(hero(f"take = 0x{'f' * 9000}")) == ["4: assets.hero.take"]
    assert refuse(hero("", before=f"[defaults]\ntimeout = 0x{'f' * 9000}")) == ["2: defaults.timeout"]


class TestSourceImages:
    def test_select_edit_model_and_change_digest(self, write: Write) -> None:
        text = hero('images = ["a.png", "https://x.test/b.png"]')
        [asset] = write(text, **{"a.png": png()}).assets
        assert asset.request.model == "seedream-v4.5-edit"
        reference, url = asset.request.image_urls
        assert reference == f"data:image/png;bytes={len(png())};sha256={hashlib.sha256(png()).hexdigest()}"
        assert url == "https://x.test/b.png"
        [other] = write(text, **{"a.png": png(shade=3)}).assets
        assert other.digest != asset.digest
        [same] = write(hero('images = ["copy.png", "https://x.test/b.png"]'), **{"copy.png": png()}).assets
        assert same.digest == asset.digest

    def test_are_kept_for_sending(self, write: Write) -> None:
        [asset] = write(hero('images = ["a.jpg"]'), **{"a.jpg": JPEG}).assets
        [source] = asset.sources
        assert source.data_uri() == f"data:image/jpeg;base64,{b64encode(JPEG).decode()}"

    @pytest.mark.parametrize(
        "value",
        [
            *('["nope.png"]', '["text.md"]', '["../a.png"]', '["/etc/a.png"]', '["out.png"]'),
            *('["http://x.test/a.png"]', '["https://me:pw@x.test/a.png"]', '"a.png"', "[1]"),
            str(["https://x.test/a.png"] * 15),
        ],
    )
    def test_refused(self, refuse: Refuse, tmp_path: Path, value: str) -> None:
        outside = tmp_path.parent / f"{tmp_path.name}-outside.png"
        outside.write_bytes(png())
        (tmp_path / "out.png").symlink_to(outside)
        [problem] = refuse(hero(f"images = {value}"), reasons=True, **{"text.md": "a fox"})
        assert problem.startswith("4: assets.hero.images: ")
        assert "me:pw" not in problem


class TestPromptParts:
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
        [image] = write(hero(asset, before=before)).images()
        assert image.request.prompt == prompt
        assert image.digest == digest_of(GenerationRequest(prompt))

    def test_style_typo_is_refused(self, refuse: Refuse) -> None:
        [problem] = refuse(hero('style = "watercolor"', before='[styles]\nwatercolour = "x"'), reasons=True)
        assert "'watercolour'" in problem

    def test_are_limited_together(self, refuse: Refuse) -> None:
        [problem] = refuse(hero(f'details = "{"x" * 3996}"'), reasons=True)
        assert problem.startswith("3: assets.hero.prompt: ")
        assert "4001" in problem
