"""The client's side of the wire: a connection that outlives daemons, and where the bytes of chunks come from."""
