//! Synthetic trees as a guest meets them.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::*;
use crate::account::Account;
use crate::device::Device;
use crate::device::null::Null;
use crate::device::pipe::pipe;
use crate::device::zero::Zero;
use crate::testkit::{self, READ, READ_WRITE, name, now, read_at, stat, walk, write_at};
use crate::{
    DirEntry, Errno, FileKind, Interest, NodeRef, Op, OpenFile, OpenHow, SetStat, WriteAt,
};

const WRITE: OpenHow = OpenHow {
    read: false,
    write: true,
    truncate: true,
};

/// What a ctl file was told.
type Told = Arc<Mutex<Vec<String>>>;

fn told(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock().unwrap())
}

fn ctl() -> (NodeRef, Told) {
    let told = Told::default();
    let tell = told.clone();
    let device = SyntheticDir::builder()
        .ctl("ctl", move |line: &str| {
            if line.starts_with("bad") {
                return Err(Errno::Proto);
            }
            tell.lock().unwrap().push(line.to_owned());
            Ok(())
        })
        .build();
    (walk(&device, "ctl").unwrap(), told)
}

fn tell(file: &mut dyn OpenFile, bytes: &[u8]) -> Result<usize, Errno> {
    write_at(file, WriteAt::Offset(77), bytes).map(|written| written.bytes)
}

#[test]
fn trees_of_texts_are_read_only() {
    let whole = Device::unlimited();
    let device = whole
        .directory()
        .text("policy", || "nothing".to_owned())
        .text("empty", String::new)
        .dir(
            "sub",
            whole.directory().text("lines", || "one\ntwo\n".to_owned()),
        )
        .build();
    testkit::read_only(&device);
    assert_eq!(testkit::read(&device, "policy").unwrap(), b"nothing\n");
    assert_eq!(testkit::read(&device, "empty").unwrap(), b"");
    assert_eq!(testkit::read(&device, "sub/lines").unwrap(), b"one\ntwo\n");
    assert_eq!(stat(&device, "policy").unwrap().size, 8);
    assert_eq!(now(device.stat()).unwrap().nlink, 3);
    assert_eq!(
        now(walk(&device, "policy").unwrap().open(WRITE)).err(),
        Some(Errno::Acces)
    );
}

#[test]
fn a_text_is_what_it_was_when_it_was_opened() {
    let said = Arc::new(Mutex::new("one".to_owned()));
    let says = said.clone();
    let device = SyntheticDir::builder()
        .text("text", move || says.lock().unwrap().clone())
        .build();
    let mut file = now(walk(&device, "text").unwrap().open(READ)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 2).unwrap(), b"on");
    *said.lock().unwrap() = "another".to_owned();
    assert_eq!(read_at(&mut *file, 2, 9).unwrap(), b"e\n");
    assert_eq!(testkit::read(&device, "text").unwrap(), b"another\n");
}

#[test]
fn ctl_takes_a_command_a_line() {
    let (node, said) = ctl();
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(tell(&mut *file, b"first\n\n  second  arg \r\nthi"), Ok(26));
    assert_eq!(told(&said), ["first", "second  arg"]);
    assert_eq!(tell(&mut *file, b"rd\n"), Ok(3));
    assert_eq!(told(&said), ["third"]);
    assert_eq!(tell(&mut *file, b"last"), Ok(4));
    assert_eq!(told(&said), [""; 0]);
    assert_eq!(now(file.finish()), Ok(()));
    assert_eq!(told(&said), ["last"]);
    assert_eq!(now(file.finish()), Ok(()));
    assert_eq!(tell(&mut *file, b"bad"), Ok(3));
    assert_eq!(now(file.finish()), Err(Errno::Proto));
    assert_eq!(tell(&mut *file, b"never begun"), Ok(11));
    drop(file);
    assert_eq!(told(&said), [""; 0]);
}

/// What a ctl file that takes its time was told: the commands begun, and those done.
#[derive(Default)]
struct Slow {
    begun: Told,
    done: Told,
    /// Commands may end; each that does takes one.
    go: Mutex<usize>,
}

/// A ctl file whose commands wait until they may end; those that begin with `bad` fail then.
fn slow_ctl() -> (NodeRef, Arc<Slow>) {
    let slow = Arc::new(Slow::default());
    let tell = slow.clone();
    let device = SyntheticDir::builder()
        .ctl("ctl", move |line: &str| {
            let (slow, line) = (tell.clone(), line.to_owned());
            slow.begun.lock().unwrap().push(line.clone());
            Op::later(std::future::poll_fn(move |_| {
                let mut go = slow.go.lock().unwrap();
                if *go == 0 {
                    return Poll::Pending;
                }
                *go -= 1;
                if line.starts_with("bad") {
                    return Poll::Ready(Err(Errno::Proto));
                }
                slow.done.lock().unwrap().push(line.clone());
                Poll::Ready(Ok(()))
            }))
        })
        .build();
    (walk(&device, "ctl").unwrap(), slow)
}

fn try_to_tell(file: &mut dyn OpenFile, bytes: &[u8]) -> Poll<Result<usize, Errno>> {
    let mut context = Context::from_waker(Waker::noop());
    file.poll_write(&mut context, WriteAt::End, &mut { bytes })
        .map_ok(|written| written.bytes)
}

#[test]
fn what_a_ctl_file_takes_without_waiting_is_done_in_turn() {
    let (node, slow) = slow_ctl();
    let mut file = now(node.open(WRITE)).unwrap();
    file.set_nonblocking(true);
    let mut context = Context::from_waker(Waker::noop());
    // The bytes count as taken, and the commands in them are done one after the other.
    assert_eq!(
        try_to_tell(&mut *file, b"first\nsecond\n"),
        Poll::Ready(Ok(13))
    );
    assert_eq!(told(&slow.begun), ["first"]);
    // Of another write nothing is taken meanwhile.
    assert_eq!(try_to_tell(&mut *file, b"a\n"), Poll::Pending);
    assert_eq!(try_to_tell(&mut *file, b"other\n"), Poll::Pending);
    assert!(file.poll_ready(&mut context, Interest::Write).is_pending());
    assert_eq!(told(&slow.begun), [""; 0]);
    *slow.go.lock().unwrap() = 2;
    assert!(file.poll_ready(&mut context, Interest::Write).is_ready());
    assert_eq!(told(&slow.done), ["first", "second"]);
    assert_eq!(try_to_tell(&mut *file, b"bad\n"), Poll::Ready(Ok(4)));
    // Giving up what waits gives up nothing that was taken.
    file.cancel();
    *slow.go.lock().unwrap() = 1;
    // What became of it is told by the next write, of which nothing is taken.
    assert_eq!(
        try_to_tell(&mut *file, b"third\n"),
        Poll::Ready(Err(Errno::Proto))
    );
    assert_eq!(told(&slow.begun), ["second", "bad"]);
    assert_eq!(try_to_tell(&mut *file, b"third\nlast"), Poll::Ready(Ok(10)));
    *slow.go.lock().unwrap() = 2;
    assert_eq!(now(file.finish()), Ok(()));
    assert_eq!(told(&slow.done), ["third", "last"]);
}

#[test]
fn a_command_that_is_given_up_is_not_taken_for_another() {
    let (node, slow) = slow_ctl();
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(try_to_tell(&mut *file, b"long one\nnext\n"), Poll::Pending);
    file.cancel();
    *slow.go.lock().unwrap() = 9;
    assert_eq!(try_to_tell(&mut *file, b"b\n"), Poll::Ready(Ok(2)));
    assert_eq!(told(&slow.begun), ["long one", "b"]);
    assert_eq!(told(&slow.done), ["b"]);
}

#[test]
fn what_was_taken_of_a_command_outlives_what_is_given_up() {
    let (node, slow) = slow_ctl();
    let mut context = Context::from_waker(Waker::noop());
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(try_to_tell(&mut *file, b"star"), Poll::Ready(Ok(4)));
    assert_eq!(try_to_tell(&mut *file, b"t\n"), Poll::Pending);
    file.cancel();
    assert!(file.unfinished());
    // By another way, too.
    let Op::Later(mut syncing) = file.sync(false) else {
        panic!("the command waits");
    };
    assert!(syncing.as_mut().poll(&mut context).is_pending());
    drop(syncing);
    *slow.go.lock().unwrap() = 1;
    assert_eq!(try_to_tell(&mut *file, b"t\n"), Poll::Ready(Ok(2)));
    assert_eq!(told(&slow.begun), ["start", "star", "start"]);
    assert_eq!(told(&slow.done), ["start"]);
    assert!(!file.unfinished());
    // A command that ended is not there again, though one behind it was given up.
    *slow.go.lock().unwrap() = 1;
    assert_eq!(try_to_tell(&mut *file, b"o"), Poll::Ready(Ok(1)));
    assert_eq!(try_to_tell(&mut *file, b"ne\ntwo\n"), Poll::Pending);
    file.cancel();
    *slow.go.lock().unwrap() = 1;
    assert_eq!(try_to_tell(&mut *file, b"three\n"), Poll::Ready(Ok(6)));
    assert_eq!(told(&slow.done), ["one", "three"]);
    // Nor does a sync that is given up take what a write has returned.
    file.set_nonblocking(true);
    assert_eq!(try_to_tell(&mut *file, b"four\n"), Poll::Ready(Ok(5)));
    drop(file.sync(false));
    *slow.go.lock().unwrap() = 1;
    assert_eq!(now(file.finish()), Ok(()));
    assert_eq!(told(&slow.done), ["four"]);
}

#[test]
fn the_write_with_a_bad_command_fails() {
    let (node, said) = ctl();
    let mut file = now(node.open(READ_WRITE)).unwrap();
    assert_eq!(
        tell(&mut *file, b"good\nbad\ndropped\nand this"),
        Err(Errno::Proto)
    );
    assert_eq!(told(&said), ["good"]);
    assert_eq!(tell(&mut *file, b"next\n"), Ok(5));
    assert_eq!(told(&said), ["next"]);
    assert_eq!(tell(&mut *file, b"\xff\n"), Err(Errno::Ilseq));
    assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"");
}

#[test]
fn lines_and_writes_have_limits() {
    let (node, said) = ctl();
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(
        tell(&mut *file, &[b'x'; CTL_LINE_MAX + 1]),
        Err(Errno::Nospc)
    );
    assert_eq!(tell(&mut *file, b"short\n"), Ok(6));
    assert_eq!(told(&said), ["short"]);
    let many = b"c\n".repeat(CTL_WRITE_MAX);
    assert_eq!(tell(&mut *file, &many), Ok(CTL_WRITE_MAX));
    assert_eq!(told(&said).len(), CTL_WRITE_MAX / 2);
}

#[test]
fn what_open_files_hold_is_charged_to_an_account() {
    const ROOM: usize = 10_000;
    let account = Account::new(ROOM as u64);
    let device = Device::new(&account)
        .directory()
        .text("text", || "t".repeat(4_000))
        .ctl("ctl", |_: &str| Ok(()))
        .value("value", String::new, |_: &str| Ok(()))
        .build();
    let open = |name: &str, how| now(walk(&device, name).unwrap().open(how));
    let texts = [open("text", READ).unwrap(), open("text", READ).unwrap()];
    assert_eq!(open("text", READ).err(), Some(Errno::Nomem));
    let mut ctl = open("ctl", WRITE).unwrap();
    assert_eq!(tell(&mut *ctl, &[b'x'; 3_000]), Err(Errno::Nomem));
    assert_eq!(tell(&mut *ctl, &[b'x'; 900]), Ok(900));
    drop(texts);
    assert_eq!(account.used(), 900);
    let mut value = open("value", WRITE).unwrap();
    let mut set = |length| write_at(&mut *value, WriteAt::End, &vec![b'v'; length]).map(drop);
    assert_eq!(set(ROOM), Err(Errno::Nomem));
    assert_eq!(set(9_100), Ok(()));
    assert_eq!(tell(&mut *ctl, b" "), Err(Errno::Nomem));
    drop(value);
    assert_eq!(tell(&mut *ctl, b"x\n"), Ok(2));
    assert_eq!(account.used(), 0, "the line has ended");
}

#[test]
fn ctl_can_be_read_and_truncated_in_vain() {
    let device = SyntheticDir::builder()
        .ctl_with_text("ctl", || "7".to_owned(), |_: &str| Ok(()))
        .build();
    let node = walk(&device, "ctl").unwrap();
    assert_eq!(node.qid().kind, FileKind::CharacterDevice);
    let mut file = now(node.open(READ)).unwrap();
    assert_eq!(read_at(&mut *file, 0, 1).unwrap(), b"7");
    assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"\n");
    assert_eq!(read_at(&mut *file, 0, 9).unwrap(), b"");
    assert_eq!(tell(&mut *file, b"x"), Err(Errno::Badf));
    let sized = |size| SetStat {
        size: Some(size),
        ..SetStat::default()
    };
    assert_eq!(now(node.set_stat(sized(0))), Ok(()));
    assert_eq!(now(node.set_stat(sized(1))), Err(Errno::Inval));
}

#[test]
fn streams_are_what_their_sources_make() {
    let (reader, writer) = pipe(64);
    let reader: Mutex<Option<Box<dyn OpenFile>>> = Mutex::new(Some(Box::new(reader)));
    let writer: Mutex<Option<Box<dyn OpenFile>>> = Mutex::new(Some(Box::new(writer)));
    let device = SyntheticDir::builder()
        .stream(
            "both",
            move || reader.lock().unwrap().take().ok_or(Errno::Busy),
            move || writer.lock().unwrap().take().ok_or(Errno::Busy),
        )
        .reads("zero", || Ok(Box::new(Zero) as Box<dyn OpenFile>))
        .writes("null", || Ok(Box::new(Null) as Box<dyn OpenFile>))
        .build();
    let open = |path, how| now(walk(&device, path).unwrap().open(how));
    let mut both = open("both", READ_WRITE).unwrap();
    assert_eq!(open("both", READ).err(), Some(Errno::Busy));
    assert_eq!(tell(&mut *both, b"loop"), Ok(4));
    let ready = testkit::wait(|context| both.poll_ready(context, Interest::Read)).unwrap();
    assert_eq!((ready.bytes, ready.hangup), (4, false));
    assert_eq!(read_at(&mut *both, 0, 9).unwrap(), b"loop");

    assert_eq!(open("zero", WRITE).err(), Some(Errno::Acces));
    assert_eq!(open("null", READ).err(), Some(Errno::Acces));
    assert_eq!(
        read_at(&mut *open("zero", READ).unwrap(), 0, 3).unwrap(),
        [0; 3]
    );
    let mut null = open("null", WRITE).unwrap();
    assert_eq!(tell(&mut *null, b"gone"), Ok(4));
    assert_eq!(read_at(&mut *null, 0, 3), Err(Errno::Badf));
}

/// Conversations as a device has them: numbers that come and go.
struct Conversations(Arc<Mutex<Vec<(u64, NodeRef)>>>);

impl DynamicNames for Conversations {
    fn find(&self, name: &str) -> Op<NodeRef> {
        let Ok(number) = name.parse::<u64>() else {
            return Op::err(Errno::Noent);
        };
        let all = self.0.lock().unwrap();
        let found = all.iter().find(|(other, _)| *other == number);
        found
            .map(|(_, node)| node.clone())
            .ok_or(Errno::Noent)
            .into()
    }

    fn list(&self, cookie: u64, max: usize) -> Op<Vec<DirEntry>> {
        let all = self.0.lock().unwrap();
        let after = all.iter().filter(|(number, _)| number + 1 > cookie);
        let entries = after.take(max).map(|(number, node)| DirEntry {
            name: number.to_string(),
            qid: node.qid(),
            cookie: number + 1,
        });
        Op::ok(entries.collect())
    }
}

#[test]
fn dynamic_names_follow_the_fixed_ones() {
    let whole = Device::unlimited();
    let conversation = |number: u64| {
        let node = whole.directory().text("number", move || number.to_string());
        (number, node.build())
    };
    let all = Arc::new(Mutex::new((0..20).map(conversation).collect::<Vec<_>>()));
    let device = whole
        .directory()
        .text("policy", || "all".to_owned())
        .text("5", || "hides a conversation".to_owned())
        .dynamic(Conversations(all.clone()))
        .build();
    testkit::read_only(&device);
    assert_eq!(testkit::read(&device, "7/number").unwrap(), b"7\n");
    assert_eq!(
        testkit::read(&device, "5").unwrap(),
        b"hides a conversation\n"
    );
    let entries = testkit::list(&device, 4).unwrap();
    assert_eq!(entries.len(), 21);

    let mut file = now(device.open(READ)).unwrap();
    let first = testkit::list_from(&mut *file, 0, 6).unwrap();
    assert_eq!(first.last().unwrap().name, "3");
    all.lock()
        .unwrap()
        .retain(|(number, _)| !(2..=4).contains(number));
    all.lock().unwrap().push(conversation(20));
    let rest = testkit::list_from(&mut *file, first.last().unwrap().cookie, 100).unwrap();
    let names: Vec<_> = rest.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names[..2], ["6", "7"]);
    assert_eq!(names.last(), Some(&"20"));
    let gone = now(testkit::directory(&device).unwrap().walk(name("3")));
    assert_eq!(gone.err(), Some(Errno::Noent));
}

#[test]
#[should_panic(expected = "is there already")]
fn names_are_given_once() {
    let _ = SyntheticDir::builder()
        .text("a", String::new)
        .text("a", String::new);
}

#[test]
fn values_are_replaced_by_what_is_written() {
    let value = Arc::new(Mutex::new("old".to_owned()));
    let (shown, set) = (value.clone(), value.clone());
    let device = SyntheticDir::builder()
        .value(
            "value",
            move || shown.lock().unwrap().clone(),
            move |text: &str| {
                if text.contains("bad") {
                    return Err(Errno::Inval);
                }
                text.clone_into(&mut set.lock().unwrap());
                Ok(())
            },
        )
        .build();
    assert_eq!(testkit::read(&device, "value").unwrap(), b"old\n");
    let node = walk(&device, "value").unwrap();
    let mut file = now(node.open(WRITE)).unwrap();
    write_at(&mut *file, WriteAt::Offset(0), b"ne").unwrap();
    write_at(&mut *file, WriteAt::End, "w \u{20ac}".as_bytes()).unwrap();
    assert_eq!(*value.lock().unwrap(), "new \u{20ac}");
    // In the middle of a character.
    write_at(&mut *file, WriteAt::End, &[0xe2, 0x82]).unwrap();
    write_at(&mut *file, WriteAt::End, &[0xac]).unwrap();
    assert_eq!(*value.lock().unwrap(), "new \u{20ac}\u{20ac}");
    let refused = |file: &mut dyn OpenFile, at, bytes: &[u8]| write_at(file, at, bytes).err();
    assert_eq!(
        refused(&mut *file, WriteAt::Offset(99), b"x"),
        Some(Errno::Inval)
    );
    assert_eq!(
        refused(&mut *file, WriteAt::End, &[0xff]),
        Some(Errno::Ilseq)
    );
    let long = vec![b'x'; VALUE_MAX + 1];
    assert_eq!(
        refused(&mut *file, WriteAt::Offset(0), &long),
        Some(Errno::Msgsize)
    );
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(
        refused(&mut *file, WriteAt::Offset(0), b"bad"),
        Some(Errno::Inval)
    );
    // It is not begun, and the text that it was to be is gone with it.
    write_at(&mut *file, WriteAt::Offset(0), b"good").unwrap();
    assert_eq!(*value.lock().unwrap(), "good");
    for at in [WriteAt::Offset(0), WriteAt::Offset(2), WriteAt::End] {
        assert_eq!(refused(&mut *file, at, b"d and bad"), Some(Errno::Inval));
        assert_eq!(
            refused(&mut *file, at, &[b'd', 0xff, b'x']),
            Some(Errno::Ilseq)
        );
        assert_eq!(now(file.stat()).unwrap().size, 4);
    }
    write_at(&mut *file, WriteAt::End, b"bye").unwrap();
    assert_eq!(*value.lock().unwrap(), "goodbye");
    assert_eq!(now(file.finish()), Ok(()));
    // What ends within a character is told when it is closed.
    write_at(&mut *file, WriteAt::End, &[0xe2, 0x82]).unwrap();
    assert!(file.unfinished());
    assert_eq!(now(file.finish()), Err(Errno::Ilseq));
    drop(file);
    drop(now(node.open(WRITE)).unwrap());
    assert_eq!(*value.lock().unwrap(), "goodbye", "nobody closed it");
    let mut file = now(node.open(WRITE)).unwrap();
    assert!(file.unfinished());
    now(file.finish()).unwrap();
    assert_eq!(*value.lock().unwrap(), "");
}

#[test]
fn a_value_that_may_not_be_empty_is_kept() {
    let value = Arc::new(Mutex::new("old".to_owned()));
    let takes = value.clone();
    let sink = move |text: &str| {
        if text.is_empty() {
            return Err(Errno::Inval);
        }
        text.clone_into(&mut takes.lock().unwrap());
        Ok(())
    };
    let says = value.clone();
    let text = move || says.lock().unwrap().clone();
    let device = SyntheticDir::builder().value("value", text, sink).build();
    let node = walk(&device, "value").unwrap();
    let mut file = now(node.open(WRITE)).unwrap();
    assert_eq!(
        now(file.finish()),
        Err(Errno::Inval),
        "whoever closes it is told"
    );
    write_at(&mut *file, WriteAt::Offset(0), b"new").unwrap();
    let empty = SetStat {
        size: Some(0),
        ..SetStat::default()
    };
    assert_eq!(now(file.set_stat(empty)), Err(Errno::Inval));
    write_at(&mut *file, WriteAt::End, b"er").unwrap();
    assert_eq!(*value.lock().unwrap(), "newer");
}

#[test]
fn each_opening_can_have_its_own_commands() {
    struct Session(Told);

    impl Command for Session {
        fn run(&self, line: &str) -> Op<()> {
            self.0.lock().unwrap().push(line.to_owned());
            Op::ok(())
        }
    }

    impl Drop for Session {
        fn drop(&mut self) {
            self.0.lock().unwrap().push("closed".to_owned());
        }
    }

    let all = Told::default();
    let tell_all = all.clone();
    let device = SyntheticDir::builder()
        .ctl_of_each("ctl", move || Arc::new(Session(tell_all.clone())))
        .build();
    let node = walk(&device, "ctl").unwrap();
    let (mut one, other) = (
        now(node.open(WRITE)).unwrap(),
        now(node.open(WRITE)).unwrap(),
    );
    tell(&mut *one, b"a\n").unwrap();
    drop(other);
    tell(&mut *one, b"b").unwrap();
    now(one.finish()).unwrap();
    drop(one);
    assert_eq!(told(&all), ["a", "closed", "b", "closed"]);
}

/// A tree whose texts say how often they were asked for, and so are no others when they are opened again elsewhere.
fn counting(asked: &Arc<Mutex<u32>>) -> testkit::Image {
    let device = Device::unlimited();
    let (again, text) = (asked.clone(), asked.clone());
    let text = move || {
        let mut asked = text.lock().unwrap();
        *asked += 1;
        format!("asked for {asked} times")
    };
    let tree = device
        .directory()
        .text("text", text.clone())
        .dir("below", device.directory().text("again", text));
    testkit::Image {
        // Behind a gate, as capabilities are.
        root: crate::device::gate::Gate::new(tree.build(), None).1,
        again: Box::new(move || counting(&again)),
    }
}

#[test]
fn what_is_open_is_found_again_after_any_call_as_it_was() {
    let make = || counting(&Arc::default());
    testkit::durable_reading(make, &[".", "below"], &["text", "below/again", "text"]);
}

#[test]
fn a_tree_is_put_back_unless_something_in_it_can_not_be() {
    let device = Device::unlimited();
    let texts = |device: &Device| device.directory().text("text", || "a text".to_owned());
    let tree = texts(&device).dir("below", texts(&device)).build();
    testkit::checkpoints_reading(&tree);
    // Behind a gate, as capabilities are, that is shut meanwhile.
    let (gate, gated) = crate::device::gate::Gate::new(tree, None);
    let checkpoint = now(gated.checkpoint()).unwrap();
    gate.revoke();
    now(checkpoint.discard()).unwrap();
    now(now(gated.checkpoint()).unwrap().commit()).unwrap();
    let begins = |name| {
        let below = device.directory().ctl("ctl", |_: &str| Ok(()));
        let below = below.value("value", String::new, |_: &str| Ok(()));
        let below = below.reads("stream", || Err(Errno::Io)).build();
        walk(&below, name).unwrap()
    };
    for name in ["ctl", "value", "stream"] {
        testkit::no_checkpoint(&begins(name));
        testkit::no_checkpoint(&texts(&device).node(name, begins(name)).build());
    }
}

#[test]
fn what_only_one_run_has_is_not_found_again() {
    let device = Device::unlimited();
    let tree = device
        .directory()
        .ctl("ctl", |_: &str| Ok(()))
        .value("value", String::new, |_: &str| Ok(()))
        .reads("stream", || {
            let (reader, _) = pipe(16);
            Ok(Box::new(reader) as Box<dyn OpenFile>)
        })
        .build();
    for name in ["ctl", "value", "stream"] {
        testkit::not_durable(&walk(&tree, name).unwrap(), READ);
    }
}
