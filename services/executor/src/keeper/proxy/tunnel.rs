//! Bytes both ways: TCP ports, and HTTP connections that were upgraded.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    thread,
};

use crate::keeper::routes::Routes;

/// Serves one client of a TCP port.
pub(super) fn serve(client: TcpStream, port: &str, routes: &Routes) {
    let mut tried = Vec::new();
    while let Some(pick) = routes.pick(port, &tried) {
        match pick.connect() {
            Ok(upstream) => {
                let _ = join(BufReader::new(client), upstream);
                return;
            }
            Err(_) if tried.len() < 3 => tried.push(pick.endpoint.clone()),
            Err(_) => return,
        }
    }
}

/// Copies both ways until both sides have ended.
pub(crate) fn join(client: BufReader<TcpStream>, upstream: BufReader<TcpStream>) -> io::Result<()> {
    let (to_client, to_upstream) = (client.get_ref().try_clone()?, upstream.get_ref().try_clone()?);
    client.get_ref().set_read_timeout(None)?;
    upstream.get_ref().set_read_timeout(None)?;
    let up = thread::Builder::new().stack_size(128 << 10).spawn(move || copy(client, to_upstream))?;
    copy(upstream, to_client);
    let _ = up.join();
    Ok(())
}

fn copy(mut from: BufReader<TcpStream>, mut to: TcpStream) {
    loop {
        let count = match from.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => match to.write_all(bytes) {
                Ok(()) => bytes.len(),
                Err(_) => {
                    let _ = from.get_ref().shutdown(Shutdown::Both);
                    return;
                }
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => {
                let _ = to.shutdown(Shutdown::Both);
                return;
            }
        };
        from.consume(count);
    }
    let _ = to.shutdown(Shutdown::Write);
}
