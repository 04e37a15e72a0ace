//! Messages that were received and not yet read, for hosts to keep.

use std::collections::VecDeque;

use super::host::Message;

/// A queue of messages, bounded by their bytes.
pub struct Inbox {
    messages: VecDeque<Message>,
    bytes: usize,
    window: usize,
}

/// What a message counts beside its bytes, so that empty ones are bounded, too.
const OVERHEAD: usize = 64;

impl Inbox {
    /// A queue that is full at `window` bytes. The message that fills it may go beyond.
    pub fn new(window: usize) -> Inbox {
        Inbox {
            messages: VecDeque::new(),
            bytes: 0,
            window,
        }
    }

    /// Whether nothing more should be taken from the network.
    pub fn is_full(&self) -> bool {
        self.bytes >= self.window
    }

    /// Adds a message.
    pub fn push(&mut self, message: Message) {
        self.bytes += message.payload.length() + OVERHEAD;
        self.messages.push_back(message);
    }

    /// Takes the first message.
    pub fn pop(&mut self) -> Option<Message> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.payload.length() + OVERHEAD;
        Some(message)
    }

    /// Bytes of the first message.
    pub fn waiting(&self) -> Option<usize> {
        self.messages
            .front()
            .map(|message| message.payload.length())
    }
}

#[cfg(test)]
mod tests {
    use capfs::GuestSink;

    use super::super::host::{Kind, Payload};
    use super::*;

    struct Zeroes(usize);

    impl Payload for Zeroes {
        fn length(&self) -> usize {
            self.0
        }

        fn put(&self, at: usize, sink: &mut dyn GuestSink) -> usize {
            sink.put(&vec![0; self.0 - at])
        }
    }

    fn message(length: usize) -> Message {
        Message {
            kind: Kind::Binary,
            payload: Box::new(Zeroes(length)),
        }
    }

    #[test]
    fn is_bounded_by_bytes_and_by_count() {
        let mut inbox = Inbox::new(1_000);
        inbox.push(message(935));
        assert!(!inbox.is_full());
        inbox.push(message(0));
        assert!(inbox.is_full());
        assert_eq!(inbox.waiting(), Some(935));
        inbox.pop();
        assert!(!inbox.is_full());
        for _ in 0..15 {
            inbox.push(message(0));
        }
        assert!(inbox.is_full());
    }
}
