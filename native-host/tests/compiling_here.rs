//! What embedders have compiled in their own process. Alone in its process, which goes on with what nobody waits for.

mod bench;
mod fleet;

use std::time::Duration;

use bench::odd::{long, padded};
use capfs_host::grants::DirGrant;
use capfs_host::host::{COMPILED_HERE_MAX, Host, Io, LaunchError, Plan, Program};
use fleet::{id, program, runtime};

#[test]
fn who_compiles_is_said() {
    runtime(1).block_on(async {
        let refused = Host::builder().build().err().unwrap();
        assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
        assert!(refused.to_string().contains("compile_here"), "{refused}");
        // In this process no module is compiled, however long it takes: a large one is refused at once.
        let host = Host::builder().compile_here().build().unwrap();
        let large = padded(long(), COMPILED_HERE_MAX);
        let plan = Plan::new(Program::bytes("large", large));
        let refused = host.launch(id("large"), plan, Io::null()).await;
        let text = refused.err().unwrap().to_string();
        assert!(text.contains("has more than 33554432 bytes"), "{text}");
    });
}

#[test]
fn what_is_given_up_and_goes_on_in_this_process_is_in_nobodys_way() {
    let runtime = runtime(2);
    runtime.block_on(async {
        let host = Host::builder().compile_here().blocking(1).build().unwrap();
        let echo = || Plan::new(program("echo", fleet::ECHO));
        let known = host.launch(id("echo"), echo(), Io::null()).await;
        known.unwrap().wait().await;
        // What has once begun to be compiled can't be ended: as many as there are threads for that, and more.
        let processors = std::thread::available_parallelism().unwrap().get();
        for number in 0..=processors {
            let slow = Program::bytes("slow", padded(long(), number));
            let plan = Plan::new(slow).timeout(Duration::from_millis(100));
            let launched = host.launch(id("slow"), plan, Io::null()).await;
            assert!(matches!(launched.err(), Some(LaunchError::Timeout)));
        }
        let folder = tempfile::tempdir().unwrap();
        let granted = format!("{}::/folder", folder.path().display());
        let plan = echo().grant(granted.parse::<DirGrant>().unwrap());
        let others = host.launch(id("echo"), plan, Io::null()).await;
        assert!(fleet::exited(&others.unwrap().wait().await));
    });
    runtime.shutdown_background();
}
