//! Tests of pipes: waiting is observed by a waker that counts, so nothing here takes time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Count {
    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

fn read(file: &mut dyn OpenFile, waker: &Waker, room: usize) -> Poll<Result<Vec<u8>, Errno>> {
    let mut bytes = vec![0; room];
    let poll = file.poll_read(&mut Context::from_waker(waker), 0, &mut &mut bytes[..]);
    poll.map_ok(|count| {
        bytes.truncate(count);
        bytes
    })
}

fn write(file: &mut dyn OpenFile, waker: &Waker, mut bytes: &[u8]) -> Poll<Result<usize, Errno>> {
    file.poll_write(&mut Context::from_waker(waker), WriteAt::End, &mut bytes)
        .map_ok(|written| written.bytes)
}

fn ready(file: &mut dyn OpenFile, waker: &Waker, interest: Interest) -> Poll<(u64, bool)> {
    file.poll_ready(&mut Context::from_waker(waker), interest)
        .map(|result| result.map(|ready| (ready.bytes, ready.hangup)).unwrap())
}

#[test]
fn a_reader_waits_for_bytes_and_then_for_the_end() {
    let (mut reader, mut writer) = pipe(16);
    let (count, waker) = counter();
    assert!(read(&mut reader, &waker, 4).is_pending());
    assert!(read(&mut reader, &waker, 4).is_pending());
    assert_eq!(
        write(&mut writer, Waker::noop(), b"hello"),
        Poll::Ready(Ok(5))
    );
    assert_eq!(count.get(), 1, "one registration however often it polls");
    assert_eq!(
        read(&mut reader, &waker, 4),
        Poll::Ready(Ok(b"hell".to_vec()))
    );
    assert_eq!(read(&mut reader, &waker, 4), Poll::Ready(Ok(b"o".to_vec())));
    assert!(read(&mut reader, &waker, 4).is_pending());
    drop(writer);
    assert_eq!(count.get(), 2);
    assert_eq!(read(&mut reader, &waker, 4), Poll::Ready(Ok(vec![])));
}

#[test]
fn what_was_written_is_read_after_the_writer_has_gone() {
    let (mut reader, mut writer) = pipe(16);
    assert_eq!(
        write(&mut writer, Waker::noop(), b"last"),
        Poll::Ready(Ok(4))
    );
    drop(writer);
    assert_eq!(
        ready(&mut reader, Waker::noop(), Interest::Read),
        Poll::Ready((4, true))
    );
    assert_eq!(
        read(&mut reader, Waker::noop(), 9),
        Poll::Ready(Ok(b"last".to_vec()))
    );
    assert_eq!(read(&mut reader, Waker::noop(), 9), Poll::Ready(Ok(vec![])));
}

#[test]
fn nobody_who_reads_breaks_the_pipe() {
    let (reader, mut writer) = pipe(4);
    let (count, waker) = counter();
    assert_eq!(write(&mut writer, &waker, b"full"), Poll::Ready(Ok(4)));
    assert!(write(&mut writer, &waker, b"x").is_pending());
    drop(reader);
    assert_eq!(count.get(), 1);
    assert_eq!(
        write(&mut writer, &waker, b"x"),
        Poll::Ready(Err(Errno::Pipe))
    );
    assert_eq!(write(&mut writer, &waker, b""), Poll::Ready(Ok(0)));
    assert_eq!(
        ready(&mut writer, &waker, Interest::Write),
        Poll::Ready((4, true))
    );
}

#[test]
fn short_writes_are_atomic_and_long_ones_go_as_far_as_they_fit() {
    let (mut reader, mut writer) = pipe(PIPE_BUF + 10);
    let (count, waker) = counter();
    assert_eq!(write(&mut writer, &waker, &[1; 100]), Poll::Ready(Ok(100)));
    assert!(write(&mut writer, &waker, &[2; PIPE_BUF]).is_pending());
    assert!(ready(&mut writer, &waker, Interest::Write).is_pending());
    assert_eq!(
        write(&mut writer, &waker, &[3; PIPE_BUF + 1]),
        Poll::Ready(Ok(PIPE_BUF - 90))
    );
    assert!(write(&mut writer, &waker, &[4; PIPE_BUF + 1]).is_pending());
    assert_eq!(
        read(&mut reader, &waker, 100),
        Poll::Ready(Ok(vec![1; 100]))
    );
    assert_eq!(count.get(), 1);
    assert_eq!(
        read(&mut reader, &waker, 9999),
        Poll::Ready(Ok(vec![3; PIPE_BUF - 90]))
    );
    assert_eq!(
        ready(&mut writer, &waker, Interest::Write),
        Poll::Ready((PIPE_BUF as u64 + 10, false))
    );
}

#[test]
fn a_sink_without_room_does_not_wait() {
    let (mut reader, _writer) = pipe(4);
    assert_eq!(read(&mut reader, Waker::noop(), 0), Poll::Ready(Ok(vec![])));
}

#[test]
fn a_poll_waits_for_bytes() {
    let (mut reader, mut writer) = pipe(16);
    let (count, waker) = counter();
    assert!(ready(&mut reader, &waker, Interest::Read).is_pending());
    assert_eq!(write(&mut writer, Waker::noop(), b"ab"), Poll::Ready(Ok(2)));
    assert_eq!(count.get(), 1);
    assert_eq!(
        ready(&mut reader, &waker, Interest::Read),
        Poll::Ready((2, false))
    );
}

#[test]
fn ends_go_one_way() {
    let (mut reader, mut writer) = pipe(16);
    assert_eq!(
        write(&mut reader, Waker::noop(), b"x"),
        Poll::Ready(Err(Errno::Badf))
    );
    assert_eq!(
        read(&mut writer, Waker::noop(), 1),
        Poll::Ready(Err(Errno::Badf))
    );
}

fn open(node: &NodeRef, how: OpenHow) -> Result<Box<dyn OpenFile>, Errno> {
    match node.open(how) {
        Op::Ready(result) => result,
        Op::Later(_) => panic!("pipes open at once"),
    }
}

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    truncate: false,
};
const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: true,
};

#[test]
fn nodes_wait_for_their_first_opener_and_end_with_the_last() {
    let (read_end, write_end) = pipe_nodes(16, &Device::unlimited());
    assert_eq!(open(&read_end, WRITE).err(), Some(Errno::Acces));
    assert_eq!(open(&write_end, READ).err(), Some(Errno::Acces));
    let mut reader = open(&read_end, READ).unwrap();
    assert!(read(&mut *reader, Waker::noop(), 1).is_pending());
    let mut writer = open(&write_end, WRITE).unwrap();
    let second = open(&write_end, WRITE).unwrap();
    assert_eq!(write(&mut *writer, Waker::noop(), b"x"), Poll::Ready(Ok(1)));
    assert_eq!(
        read(&mut *reader, Waker::noop(), 1),
        Poll::Ready(Ok(vec![b'x']))
    );
    drop(writer);
    assert!(read(&mut *reader, Waker::noop(), 1).is_pending());
    drop(second);
    assert_eq!(
        read(&mut *reader, Waker::noop(), 1),
        Poll::Ready(Ok(vec![]))
    );
}

#[test]
fn a_node_that_can_never_be_opened_is_a_side_that_has_gone() {
    let (read_end, write_end) = pipe_nodes(16, &Device::unlimited());
    let mut reader = open(&read_end, READ).unwrap();
    let (count, waker) = counter();
    assert!(read(&mut *reader, &waker, 1).is_pending());
    drop(write_end);
    assert_eq!(count.get(), 1);
    assert_eq!(read(&mut *reader, &waker, 1), Poll::Ready(Ok(vec![])));
}

#[test]
fn a_pipe_with_something_in_it_is_charged() {
    let account = Account::new(150);
    let mut context = Context::from_waker(Waker::noop());
    let (reader, mut writer) = charged_pipe(100, &account);
    let (_other_reader, mut other) = charged_pipe(100, &account);
    assert_eq!(account.used(), 0);
    let mut put = |writer: &mut PipeWriter| {
        let written = writer.poll_write(&mut context, WriteAt::End, &mut &b"ab"[..]);
        written.map(|result| result.map(|written| written.bytes))
    };
    assert_eq!(put(&mut writer), Poll::Ready(Ok(2)));
    assert_eq!(put(&mut other), Poll::Ready(Err(Errno::Nomem)));
    drop(reader);
    assert_eq!(put(&mut other), Poll::Ready(Ok(2)));
    assert_eq!(account.used(), 100);
}
