"""Lines that every shell completes to the same words: what was typed, and what can be there then."""

from __future__ import annotations

from scripts.tree import program
from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.models import ASPECT_RATIOS, MODELS, QUALITIES
from seedream_cli.sandbox.faults import FAULTS
from seedream_cli.settings import ALL_KEYS

TREE = {command.path: command for command in program().walk()}
COMMANDS = [command.name for command in TREE[()].commands]
CONFIG = [command.name for command in TREE["config",].commands]
IMAGE_FAULTS = [name for name in FAULTS if name.startswith("image-")]

#: What is static: the words behind the last blank, as the scripts themselves have them.
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
    "seedream generate -a 5": [],
    "seedream generate --quality ": list(QUALITIES),
    "seedream generate --model seedream-v": ["seedream-v4.5", "seedream-v4.5-edit"],
    "seedream generate -m ": list(MODELS),
    # Options behind arguments, between them, and none behind a double dash.
    "seedream generate 'a red fox' --asp": ["--aspect-ratio"],
    'seedream generate "雪中的红狐" --asp': ["--aspect-ratio"],
    "seedream generate --json fox --asp": ["--aspect-ratio"],
    "seedream generate --asp": ["--aspect-ratio"],
    "seedream generate -o status --asp": ["--aspect-ratio"],
    "seedream generate -- --asp": [],
    "seedream generate fox --over": ["--overwrite"],
    "seedream generate ": [],
    "seedream generate --timeout ": [],
    "seedream --vers": ["--version"],
    "seedream status --vers": [],
    "seedream status --state pen": ["pending"],
    "seedream sandbox --fault image-": IMAGE_FAULTS,
    "seedream sandbox --dialect ": ["live", "seed"],
    "seedream config set ": list(ALL_KEYS),
    "seedream config get api": ["api_key", "api_key_file"],
    "seedream config set aspect_ratio 16:": ["16:9"],
    "seedream config set --json quality ": list(QUALITIES),
    # An option's value is no argument, wherever it stands.
    "seedream config set --profile work qual": ["quality"],
    "seedream config set quality --profile=work ": list(QUALITIES),
    "seedream config set --profile work quality ": list(QUALITIES),
    "seedream config set base_url ": [],
    "seedream config get quality ": [],
}

#: What is asked of the program: the words, and the call.
ASKED: dict[str, tuple[list[str], str]] = {
    "seedream status ": (["op_00000003", "img_new", "img_old"], "tasks status"),
    "seedream status img_n": (["img_new"], "tasks status"),
    "apipod-seedream download img_old ": (["op_00000003", "img_new"], "tasks download img_old"),
    "seedream download --sandbox ": (["img_trial"], "tasks download --sandbox"),
    "seedream download fox img_o": (["img_old"], "tasks download fox"),
    "seedream generate --resume ": (["last", "op_00000003", "img_new"], "resumable generate --resume"),
    "seedream generate --resume=l": (["--resume=last"], "resumable generate"),
    "seedream config set profile d": (["default"], "profiles config set profile"),
    "seedream config list --profile d": (["default"], "profiles config list --profile"),
}

#: What a terminal shows for `seedream generate -a ` and Tab: each ratio with its use.
RATIOS = list(ASPECT_RATIOS.items())
