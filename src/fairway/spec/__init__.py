"""Pure data: what travels between the rooms. Standard library only, no I/O."""
