"""The daemon's side of the wire: sockets, clients, keys, and chunks that travel as bytes."""
