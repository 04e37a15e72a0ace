//! Forwarding to what is wrapped, one name a method.
//!
//! What wraps a node or an open file says of every method what becomes of it: most are forwarded by these macros, by their names. That
//! none is left out is checked by a lint: `#[deny(clippy::missing_trait_methods)]` stands above each such `impl`, as a
//! method that is left out would be answered by the trait's default, and what is wrapped would never hear of it.

/// Methods of [`OpenFile`](crate::OpenFile) that a field of the wrapper answers: `forward_open_file!(field: poll_read stat);`
macro_rules! forward_open_file {
    ($inner:ident: $($method:ident)*) => {
        $($crate::forward::forward_open_file!(@ $inner $method);)*
    };
    (@ $inner:ident poll_read) => {
        fn poll_read(
            &mut self,
            context: &mut std::task::Context<'_>,
            offset: u64,
            sink: &mut dyn $crate::GuestSink,
        ) -> std::task::Poll<Result<usize, $crate::Errno>> {
            self.$inner.poll_read(context, offset, sink)
        }
    };
    (@ $inner:ident poll_write) => {
        fn poll_write(
            &mut self,
            context: &mut std::task::Context<'_>,
            at: $crate::WriteAt,
            source: &mut dyn $crate::GuestSource,
        ) -> std::task::Poll<Result<$crate::Written, $crate::Errno>> {
            self.$inner.poll_write(context, at, source)
        }
    };
    (@ $inner:ident poll_ready) => {
        fn poll_ready(
            &mut self,
            context: &mut std::task::Context<'_>,
            interest: $crate::Interest,
        ) -> std::task::Poll<Result<$crate::Readiness, $crate::Errno>> {
            self.$inner.poll_ready(context, interest)
        }
    };
    (@ $inner:ident set_nonblocking) => {
        fn set_nonblocking(&mut self, nonblocking: bool) {
            self.$inner.set_nonblocking(nonblocking);
        }
    };
    (@ $inner:ident cancel) => {
        fn cancel(&mut self) {
            self.$inner.cancel();
        }
    };
    (@ $inner:ident finish) => {
        fn finish(&mut self) -> $crate::Op<()> {
            self.$inner.finish()
        }
    };
    (@ $inner:ident unfinished) => {
        fn unfinished(&self) -> bool {
            self.$inner.unfinished()
        }
    };
    (@ $inner:ident position) => {
        fn position(&self) -> u64 {
            self.$inner.position()
        }
    };
    (@ $inner:ident seekable) => {
        fn seekable(&self) -> bool {
            self.$inner.seekable()
        }
    };
    (@ $inner:ident stat) => {
        fn stat(&self) -> $crate::Op<$crate::Stat> {
            self.$inner.stat()
        }
    };
    (@ $inner:ident set_stat) => {
        fn set_stat(&mut self, change: $crate::SetStat) -> $crate::Op<()> {
            self.$inner.set_stat(change)
        }
    };
    (@ $inner:ident allocate) => {
        fn allocate(&mut self, offset: u64, length: u64) -> $crate::Op<()> {
            self.$inner.allocate(offset, length)
        }
    };
    (@ $inner:ident sync) => {
        fn sync(&mut self, data_only: bool) -> $crate::Op<()> {
            self.$inner.sync(data_only)
        }
    };
    (@ $inner:ident subject) => {
        fn subject(&self) -> Option<String> {
            self.$inner.subject()
        }
    };
    (@ $inner:ident save) => {
        fn save(&self) -> Result<$crate::SavedFile, $crate::Errno> {
            self.$inner.save()
        }
    };
    (@ $inner:ident entries) => {
        fn entries(&mut self) -> Option<&mut dyn $crate::Entries> {
            self.$inner.entries()
        }
    };
    (@ $inner:ident socket) => {
        fn socket(&mut self) -> Option<&mut dyn $crate::Socket> {
            self.$inner.socket()
        }
    };
    (@ $inner:ident listener) => {
        fn listener(&mut self) -> Option<&mut dyn $crate::Listener> {
            self.$inner.listener()
        }
    };
}

/// Methods of [`Node`](crate::Node) that a field of the wrapper answers.
macro_rules! forward_node {
    ($inner:ident: $($method:ident)*) => {
        $($crate::forward::forward_node!(@ $inner $method);)*
    };
    (@ $inner:ident qid) => {
        fn qid(&self) -> $crate::Qid {
            self.$inner.qid()
        }
    };
    (@ $inner:ident stat) => {
        fn stat(&self) -> $crate::Op<$crate::Stat> {
            self.$inner.stat()
        }
    };
    (@ $inner:ident open) => {
        fn open(&self, how: $crate::OpenHow) -> $crate::Op<Box<dyn $crate::OpenFile>> {
            self.$inner.open(how)
        }
    };
    (@ $inner:ident set_stat) => {
        fn set_stat(&self, change: $crate::SetStat) -> $crate::Op<()> {
            self.$inner.set_stat(change)
        }
    };
    (@ $inner:ident directory) => {
        fn directory(&self) -> Option<&dyn $crate::Directory> {
            self.$inner.directory()
        }
    };
    (@ $inner:ident read_link) => {
        fn read_link(&self) -> $crate::Op<String> {
            self.$inner.read_link()
        }
    };
    (@ $inner:ident save) => {
        fn save(&self) -> Result<$crate::Handle, $crate::Errno> {
            self.$inner.save()
        }
    };
    (@ $inner:ident reopen) => {
        fn reopen(&self, how: $crate::OpenHow, state: &[u8]) -> $crate::Op<Box<dyn $crate::OpenFile>> {
            self.$inner.reopen(how, state)
        }
    };
    (@ $inner:ident durable) => {
        fn durable(&self) -> Option<&dyn $crate::Durable> {
            self.$inner.durable()
        }
    };
    (@ $inner:ident checkpoint) => {
        fn checkpoint(&self) -> $crate::Op<Box<dyn $crate::Checkpoint>> {
            self.$inner.checkpoint()
        }
    };
    (@ $inner:ident subject) => {
        fn subject(&self) -> Option<String> {
            self.$inner.subject()
        }
    };
}

pub(crate) use {forward_node, forward_open_file};
