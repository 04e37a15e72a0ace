//! TCP sockets of the host that are handed to a program: listeners, and the connections that they accept.
//!
//! The sockets are this process's own and never block: what can't be done at once waits for the reactor.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use capfs::device::socket::SocketNode;
use capfs::{
    Errno, FileKind, GuestSink, GuestSource, Interest, Listener, Op, OpenFile, Opened, Qid,
    Readiness, SetStat, Socket, Stat, WriteAt, Written,
};

use super::errors::errno;
use super::reactor::{self, Watch};
use super::transfer;

/// A socket has no number: the system's would tell of everything else in it.
const QID: Qid = Qid::unnumbered(FileKind::SocketStream);

fn stat() -> Stat {
    Stat {
        qid: QID,
        nlink: 1,
        size: 0,
        atime: 0,
        mtime: 0,
        ctime: 0,
    }
}

/// Whether the socket is ready, or else a wait until it is; `bytes` says how much there is.
fn poll_ready(
    watch: &mut Option<Watch>,
    socket: BorrowedFd<'_>,
    interest: Interest,
    context: &Context<'_>,
    bytes: impl FnOnce() -> u64,
) -> Poll<Result<Readiness, Errno>> {
    match reactor::ready(socket, interest) {
        Ok(Some(hangup)) => Poll::Ready(Ok(Readiness {
            bytes: bytes(),
            hangup,
        })),
        Ok(None) => reactor::wait(watch, socket, interest, context),
        Err(error) => Poll::Ready(Err(errno(error))),
    }
}

/// A listening TCP socket.
pub struct HostListener {
    listener: TcpListener,
    watch: Option<Watch>,
}

impl HostListener {
    /// Takes a socket that listens.
    ///
    /// # Errors
    /// When it can't be made non-blocking.
    pub fn new(listener: TcpListener) -> io::Result<HostListener> {
        listener.set_nonblocking(true)?;
        Ok(HostListener {
            listener,
            watch: None,
        })
    }

    fn accept(&self) -> Result<HostSocket, Errno> {
        loop {
            match self.listener.accept() {
                Ok((stream, _)) => return HostSocket::new(stream).map_err(errno),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(errno(error)),
            }
        }
    }
}

impl OpenFile for HostListener {
    fn poll_read(
        &mut self,
        _context: &mut Context<'_>,
        _offset: u64,
        _sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        Poll::Ready(Err(Errno::Notconn))
    }

    fn poll_write(
        &mut self,
        _context: &mut Context<'_>,
        _at: WriteAt,
        _source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        Poll::Ready(Err(Errno::Notconn))
    }

    /// Ready for reading when there is a connection to accept.
    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        if interest == Interest::Write {
            return Poll::Ready(Err(Errno::Notconn));
        }
        // How many connections wait, the system does not tell.
        poll_ready(
            &mut self.watch,
            self.listener.as_fd(),
            interest,
            context,
            || 1,
        )
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stat())
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        Op::err(Errno::Inval)
    }

    fn listener(&mut self) -> Option<&mut dyn Listener> {
        Some(self)
    }
}

impl Listener for HostListener {
    fn poll_accept(&mut self, context: &mut Context<'_>) -> Poll<Result<Opened, Errno>> {
        match self.accept() {
            Err(Errno::Again) => reactor::wait(
                &mut self.watch,
                self.listener.as_fd(),
                Interest::Read,
                context,
            ),
            accepted => Poll::Ready(accepted.map(|socket| Opened {
                node: Arc::new(SocketNode::new(QID)),
                file: Box::new(socket),
            })),
        }
    }
}

/// A connected TCP socket. Dropping it closes the connection.
pub struct HostSocket {
    stream: TcpStream,
    watch: Option<Watch>,
}

impl HostSocket {
    /// Takes a connection. What is written to it is sent at once (`TCP_NODELAY`): a program has no way to ask for that.
    ///
    /// # Errors
    /// When it can't be made non-blocking.
    pub fn new(stream: TcpStream) -> io::Result<HostSocket> {
        stream.set_nonblocking(true)?;
        // Slower without it, not wrong.
        let _ = stream.set_nodelay(true);
        Ok(HostSocket {
            stream,
            watch: None,
        })
    }

    /// The answer, or a wait where there is none yet.
    fn waiting<T>(
        &mut self,
        context: &Context<'_>,
        interest: Interest,
        result: Result<T, Errno>,
    ) -> Poll<Result<T, Errno>> {
        match result {
            Err(Errno::Again) => {
                reactor::wait(&mut self.watch, self.stream.as_fd(), interest, context)
            }
            result => Poll::Ready(result),
        }
    }

    fn poll_receive(
        &mut self,
        context: &Context<'_>,
        sink: &mut dyn GuestSink,
        receive: impl Fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
    ) -> Poll<Result<usize, Errno>> {
        if sink.remaining() == 0 {
            return Poll::Ready(Ok(0));
        }
        let stream = &self.stream;
        let received = transfer::read(sink, |slice| receive(stream, slice));
        self.waiting(context, Interest::Read, received)
    }
}

impl OpenFile for HostSocket {
    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        _offset: u64,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll_receive(context, sink, |mut stream, slice| stream.read(slice))
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        _at: WriteAt,
        source: &mut dyn GuestSource,
    ) -> Poll<Result<Written, Errno>> {
        let mut stream = &self.stream;
        let sent = transfer::write(source, |bytes| stream.write(bytes));
        let bytes = ready!(self.waiting(context, Interest::Write, sent))?;
        Poll::Ready(Ok(Written { bytes, end: 0 }))
    }

    fn poll_ready(
        &mut self,
        context: &mut Context<'_>,
        interest: Interest,
    ) -> Poll<Result<Readiness, Errno>> {
        let socket = self.stream.as_fd();
        poll_ready(
            &mut self.watch,
            socket,
            interest,
            context,
            || match interest {
                Interest::Read => rustix::io::ioctl_fionread(socket).unwrap_or(1),
                Interest::Write => 1,
            },
        )
    }

    fn seekable(&self) -> bool {
        false
    }

    fn stat(&self) -> Op<Stat> {
        Op::ok(stat())
    }

    fn set_stat(&mut self, _change: SetStat) -> Op<()> {
        Op::err(Errno::Inval)
    }

    fn sync(&mut self, _data_only: bool) -> Op<()> {
        Op::err(Errno::Inval)
    }

    fn socket(&mut self) -> Option<&mut dyn Socket> {
        Some(self)
    }
}

impl Socket for HostSocket {
    fn poll_peek(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn GuestSink,
    ) -> Poll<Result<usize, Errno>> {
        self.poll_receive(context, sink, TcpStream::peek)
    }

    fn shutdown(&mut self, read: bool, write: bool) -> Result<(), Errno> {
        let how = match (read, write) {
            (true, true) => Shutdown::Both,
            (true, false) => Shutdown::Read,
            (false, true) => Shutdown::Write,
            (false, false) => return Ok(()),
        };
        self.stream.shutdown(how).map_err(errno)
    }
}

#[cfg(test)]
mod tests {
    use capfs::testkit::{read_at, wait, write_at};

    use super::*;

    fn pair() -> (HostListener, TcpStream, Box<dyn OpenFile>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = HostListener::new(listener).unwrap();
        let client = TcpStream::connect(address).unwrap();
        let accepted = wait(|context| listener.poll_accept(context)).unwrap();
        assert_eq!(accepted.node.qid().kind, FileKind::SocketStream);
        (listener, client, accepted.file)
    }

    #[test]
    fn bytes_go_both_ways_until_each_has_ended() {
        let (_listener, mut client, mut socket) = pair();
        client.write_all(b"ping").unwrap();
        let readiness = wait(|context| socket.poll_ready(context, Interest::Read)).unwrap();
        assert_eq!((readiness.bytes, readiness.hangup), (4, false));
        let mut peeked = [0; 2];
        let peek = wait(|context| {
            let socket = socket.socket().unwrap();
            socket.poll_peek(context, &mut &mut peeked[..])
        });
        assert_eq!((peek, &peeked), (Ok(2), b"pi"));
        assert_eq!(read_at(&mut *socket, 0, 9).unwrap(), b"ping");

        write_at(&mut *socket, WriteAt::End, b"pong").unwrap();
        socket.socket().unwrap().shutdown(false, true).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"pong");
        let refused = write_at(&mut *socket, WriteAt::End, b"x");
        assert_eq!(refused.err(), Some(Errno::Pipe));

        client.shutdown(Shutdown::Write).unwrap();
        let readiness = wait(|context| socket.poll_ready(context, Interest::Read)).unwrap();
        assert_eq!((readiness.bytes, readiness.hangup), (0, true));
        assert_eq!(read_at(&mut *socket, 0, 9).unwrap(), b"");
    }

    #[test]
    fn whoever_waits_is_woken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = HostListener::new(listener).unwrap();
        let client = std::thread::scope(|scope| {
            let client = scope.spawn(|| TcpStream::connect(address).unwrap());
            let mut accepted = wait(|context| listener.poll_accept(context)).unwrap().file;
            let mut client = client.join().unwrap();
            let reading = scope.spawn(move || {
                let first = read_at(&mut *accepted, 0, 100).unwrap();
                (first, accepted)
            });
            client.write_all(b"late").unwrap();
            let (first, mut accepted) = reading.join().unwrap();
            assert_eq!(first, b"late");
            // More than the system keeps, so that the writer waits for its reader.
            const LONG: usize = 16 << 20;
            let writing = scope.spawn(move || {
                let mut left = LONG;
                while left > 0 {
                    let bytes = vec![7; left.min(1 << 20)];
                    left -= write_at(&mut *accepted, WriteAt::End, &bytes)
                        .unwrap()
                        .bytes;
                }
            });
            let mut received = Vec::new();
            client.read_to_end(&mut received).unwrap();
            writing.join().unwrap();
            assert_eq!(received, vec![7; LONG]);
            client
        });
        drop(client);
    }

    #[test]
    fn a_connection_that_was_reset_says_so() {
        let (_listener, client, mut socket) = pair();
        write_at(&mut *socket, WriteAt::End, b"never read").unwrap();
        // Closed with bytes unread, which TCP answers with a reset.
        wait_for_bytes(&client);
        drop(client);
        let readiness = wait(|context| socket.poll_ready(context, Interest::Read)).unwrap();
        assert!(readiness.hangup);
        assert_eq!(read_at(&mut *socket, 0, 9), Err(Errno::Connreset));
    }

    fn wait_for_bytes(client: &TcpStream) {
        client.peek(&mut [0]).unwrap();
    }

    #[test]
    fn a_listener_has_no_bytes() {
        let (mut listener, _client, _socket) = pair();
        assert_eq!(read_at(&mut listener, 0, 1), Err(Errno::Notconn));
        let written = write_at(&mut listener, WriteAt::End, b"x");
        assert_eq!(written.err(), Some(Errno::Notconn));
    }
}
