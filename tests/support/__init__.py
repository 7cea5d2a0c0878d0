"""What tests stand on: the program as a process, servers on loopback, images, terminals."""
