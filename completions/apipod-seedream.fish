# Completion of seedream. Written by `python -m scripts.generate`: change that.
complete -c apipod-seedream -w seedream
