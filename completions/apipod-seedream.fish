# fish looks for a file of the other name of the program.
complete -c apipod-seedream -w seedream
