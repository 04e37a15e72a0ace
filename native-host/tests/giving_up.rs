//! Launches that nobody waits for any more. Alone in its process, whose children it counts.

mod bench;
mod fleet;

use std::process;

use bench::odd::long;
use bench::processes::{children, is_there};
use capfs_host::compile::Compiler;
use capfs_host::host::{Host, Io, Plan, Program};
use fleet::{id, runtime};
use rustix::process::Pid;
use tokio::task::yield_now;

#[test]
fn a_launch_that_is_given_up_ends_its_compiler() {
    runtime(2).block_on(async {
        let compiler = Compiler::at(env!("CARGO_BIN_EXE_capfs-host"));
        let host = Host::builder().compiler(compiler).build().unwrap();
        let slow = Program::bytes("slow", long());
        let launch = host.launch(id("slow"), Plan::new(slow), Io::null());
        let compiling = async {
            loop {
                match children(process::id()).first() {
                    Some(child) => return *child,
                    None => yield_now().await,
                }
            }
        };
        let child = tokio::select! {
            _ = launch => panic!("it takes minutes"),
            child = compiling => child,
        };
        let child = Pid::from_raw(child as i32).unwrap();
        while is_there(child) {
            yield_now().await;
        }
        assert_eq!(host.usage().account.used, 0);
        // Nothing is kept for a program that was not made.
        assert_eq!(host.usage().programs, 0);
    });
}
