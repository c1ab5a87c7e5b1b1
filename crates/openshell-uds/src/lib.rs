//! Unix sockets that may be trusted: bind, dial, check the peer, serve HTTP/2.
