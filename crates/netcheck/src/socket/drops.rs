//! How many packets the kernel has dropped because nobody read a socket in time: loss that is no loss of the network.
use std::fs;

/// What the kernel has dropped for the socket of this inode, since it was opened; `None` where the system does not tell. `list` is
/// one of the tables of sockets under `/proc/thread-self/net`, whose lines end with the number of drops.
pub(super) fn of(list: &str, inode: u64) -> Option<u64> {
    parse(
        &fs::read_to_string(format!("/proc/thread-self/net/{list}")).ok()?,
        inode,
    )
}

fn parse(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        // sl local remote st queues timer retransmits uid timeout inode references pointer drops
        (words.nth(9)?.parse() == Ok(inode)).then(|| words.next_back()?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_by_its_inode() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
                     1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 12\n\
                     1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4712 2 0000000000000000 0\n";
        assert_eq!(
            [4711, 4712, 1].map(|inode| parse(table, inode)),
            [Some(12), Some(0), None]
        );
        assert_eq!(parse("", 1), None);
    }
}
