use capfs::testkit;

#[test]
fn a_host_directory_is_a_device() {
    let scratch = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    testkit::writable(|| {
        count.set(count.get() + 1);
        let path = scratch.path().join(count.get().to_string());
        std::fs::create_dir(&path).unwrap();
        super::open(&path).unwrap()
    });
}
