//! Whether an address can be listened on.
use super::Finding;
use std::{
    io,
    net::{SocketAddr, TcpListener},
};

/// Tries whether `listen`, which the configuration gives as `key`, is free. While the product itself runs (`is_running`)
/// it is in use rightly.
pub fn listen_address(check: &str, listen: SocketAddr, key: &str, is_running: bool) -> Finding {
    match TcpListener::bind(listen) {
        Ok(_) => Finding::ok(check, format!("{listen} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            Finding::ok(check, format!("{listen} is in use, and this product is running"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let port = listen.port();
            Finding::failure(
                check,
                format!("{listen} is in use by another program"),
                format!("end it (`ss -ltnp 'sport = :{port}'` names it), or set `{key}`"),
            )
        }
        Err(error) => Finding::failure(
            check,
            format!("{listen}: {error}"),
            format!("name an address of this machine in `{key}`; ports below 1024 need CAP_NET_BIND_SERVICE"),
        ),
    }
}
