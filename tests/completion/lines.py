"""Command lines and the words that they are completed to, by the program and by every shell."""

from __future__ import annotations

from scripts.tree import program
from seedream_cli.catalog import ASPECT_RATIOS, MODELS, QUALITIES
from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.sandbox.faults import FAULTS
from seedream_cli.settings.schema import ALL_SETTINGS

COMMAND_TREE = {command.path: command for command in program().walk()}
COMMANDS = [command.name for command in COMMAND_TREE[()].commands]
CONFIG = [command.name for command in COMMAND_TREE["config",].commands]
IMAGE_FAULTS = [name for name in FAULTS if name.startswith("image-")]

#: Line → the words that can replace its last one. They come from the generated table.
STATIC: dict[str, list[str]] = {
    "seedream ": COMMANDS,
    "apipod-seedream ": COMMANDS,
    "seedream con": ["config"],
    "seedream config ": CONFIG,
    "seedream nonsense": [],
    "seedream help ": COMMANDS,
    "seedream help config ": CONFIG,
    "seedream help config s": ["set"],
    "seedream help generate ": [],
    "seedream completion ": list(SCRIPTS),
    "seedream generate -a ": list(ASPECT_RATIOS),
    "seedream generate -a 1": ["1:1", "16:9"],
    "seedream generate --aspect-ratio 16:": ["16:9"],
    "seedream generate --aspect-ratio 2": ["2:3", "21:9"],
    "seedream generate --aspect-ratio=1": ["--aspect-ratio=1:1", "--aspect-ratio=16:9"],
    "seedream generate --aspect-ratio=16:": ["--aspect-ratio=16:9"],
    "seedream generate --aspect-ratio=": [f"--aspect-ratio={ratio}" for ratio in ASPECT_RATIOS],
    "seedream generate -a2": ["-a2:3", "-a21:9"],
    "seedream generate -x2": [],
    "seedream generate --nonsense=1": [],
    "seedream generate -a 5": [],
    "seedream generate --quality ": list(QUALITIES),
    "seedream generate --model seedream-v": ["seedream-v4.5", "seedream-v4.5-edit"],
    "seedream generate -m ": list(MODELS),
    # Options after arguments and between them, but not after a double dash.
    "seedream generate 'a red fox' --asp": ["--aspect-ratio"],
    'seedream generate "雪中的红狐" --asp': ["--aspect-ratio"],
    "seedream generate --json fox --asp": ["--aspect-ratio"],
    "seedream generate --asp": ["--aspect-ratio"],
    "seedream generate -o status --asp": ["--aspect-ratio"],
    "seedream generate -- --asp": [],
    "seedream generate -- -- --asp": [],
    # The second -- is an argument, and so is a single dash.
    "seedream config get -- -- ": [],
    "seedream config get - ": [],
    # An option is offered once, by either of its names, unless it can be repeated.
    "seedream generate -q --qui": [],
    "seedream generate --model=x --mod": [],
    "seedream generate -mx --mod": [],
    "seedream sandbox --fault image-404 --faul": ["--fault"],
    "seedream generate fox --over": ["--overwrite"],
    "seedream generate ": [],
    "seedream generate --timeout ": [],
    "seedream --vers": ["--version"],
    "seedream status --vers": [],
    "seedream status --state pen": ["pending"],
    "seedream sandbox --fault image-": IMAGE_FAULTS,
    "seedream sandbox --dialect ": ["live", "seed"],
    "seedream config set ": list(ALL_SETTINGS),
    "seedream config get api": ["api_key", "api_key_file"],
    "seedream config set aspect_ratio 16:": ["16:9"],
    "seedream config set --json quality ": list(QUALITIES),
    # The value of an option is not an argument, wherever it is.
    "seedream config set --profile work qual": ["quality"],
    "seedream config set quality --profile=work ": list(QUALITIES),
    "seedream config set --profile work quality ": list(QUALITIES),
    "seedream config set base_url ": [],
    "seedream config get quality ": [],
}

#: The lines that are tested in every shell, because each shell splits words in its own way.
IN_SHELLS = (
    "seedream ",
    "apipod-seedream ",
    "seedream help config s",
    "seedream generate -a ",
    "seedream generate --aspect-ratio 16:",
    "seedream generate --aspect-ratio=1",
    "seedream generate --aspect-ratio=16:",
    "seedream generate --aspect-ratio=",
    "seedream generate -a2",
    "seedream generate -a 5",
    "seedream generate 'a red fox' --asp",
    'seedream generate "雪中的红狐" --asp',
    "seedream generate -o status --asp",
    "seedream generate -- --asp",
    "seedream generate ",
    "seedream generate --timeout ",
    "seedream config set quality --profile=work ",
    "seedream config get quality ",
)

#: Line → the words from local files, and the arguments of the only call of the program.
LOCAL: dict[str, tuple[list[str], str]] = {
    "seedream status ": (["op_00000003", "img_new", "img_old"], "--list= -- status"),
    "seedream status img_n": (["img_new"], "--list=img_n -- status"),
    "apipod-seedream download img_old ": (["op_00000003", "img_new"], "--list= -- download img_old"),
    "seedream download --sandbox ": (["img_trial"], "--list= -- download --sandbox"),
    "seedream generate --resume=l": (["--resume=last"], "--list=--resume=l -- generate"),
    "seedream config set profile d": (["default"], "--list=d -- config set profile"),
}

#: The list for `seedream generate -a ` and Tab: each ratio with its description.
RATIOS = list(ASPECT_RATIOS.items())
