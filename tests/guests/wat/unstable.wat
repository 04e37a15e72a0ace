;; The snapshot before preview 1: `fd_seek` counts its whences in another order (CUR, END, SET), a
;; `filestat` holds `nlink` in 32 bits and is 56 bytes long, a `subscription` for a clock begins with an
;; identifier of its own. Prints one letter a check: `.` where it holds, and exits with the number of
;; those that don't.
(module
  (import "wasi_unstable" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_seek" (func $fd_seek (param i32 i64 i32 i32) (result i32)))
  (import "wasi_unstable" "fd_filestat_get" (func $fd_filestat_get (param i32 i32) (result i32)))
  (import "wasi_unstable" "path_filestat_get"
    (func $path_filestat_get (param i32 i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_unstable" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (import "wasi_unstable" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "file")
  (data (i32.const 16) ".X\n")
  (global $failed (mut i32) (i32.const 0))

  ;; iovec at 32, counts at 40, descriptor at 48, offset at 56, filestat at 64, subscription at 256,
  ;; event at 512, text at 1024.
  (func $print (param $at i32) (param $length i32)
    (i32.store (i32.const 32) (local.get $at))
    (i32.store (i32.const 36) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 32) (i32.const 1) (i32.const 40))))

  (func $check (param $holds i32)
    (if (local.get $holds)
      (then (call $print (i32.const 16) (i32.const 1)))
      (else
        (global.set $failed (i32.add (global.get $failed) (i32.const 1)))
        (call $print (i32.const 17) (i32.const 1)))))

  (func $seek (param $by i64) (param $whence i32) (param $expected i64)
    (call $check
      (i32.eqz
        (call $fd_seek (i32.load (i32.const 48)) (local.get $by) (local.get $whence) (i32.const 56))))
    (call $check (i64.eq (i64.load (i32.const 56)) (local.get $expected))))

  (func $stat_holds
    (call $check (i32.eq (i32.load8_u (i32.const 80)) (i32.const 4)))  ;; a regular file
    (call $check (i32.eq (i32.load (i32.const 84)) (i32.const 1)))     ;; one name
    (call $check (i64.eq (i64.load (i32.const 88)) (i64.const 10)))    ;; ten bytes
    (call $check (i64.eq (i64.load (i32.const 120)) (i64.const -1))))  ;; nothing behind it

  (func (export "_start")
    (call $check
      (i32.eqz
        (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 0)
          (i64.const 0x200026) (i64.const 0) (i32.const 0) (i32.const 48))))
    (call $seek (i64.const 4) (i32.const 2) (i64.const 4))   ;; SET is 2
    (call $seek (i64.const 3) (i32.const 0) (i64.const 7))   ;; CUR is 0
    (call $seek (i64.const -1) (i32.const 1) (i64.const 9))  ;; END is 1
    (i32.store (i32.const 32) (i32.const 1024))
    (i32.store (i32.const 36) (i32.const 8))
    (call $check
      (i32.eqz (call $fd_read (i32.load (i32.const 48)) (i32.const 32) (i32.const 1) (i32.const 40))))
    (call $check (i32.eq (i32.load8_u (i32.const 1024)) (i32.const 57)))

    (i64.store (i32.const 120) (i64.const -1))
    (call $check (i32.eqz (call $fd_filestat_get (i32.load (i32.const 48)) (i32.const 64))))
    (call $stat_holds)
    (memory.fill (i32.const 64) (i32.const 0) (i32.const 56))
    (call $check
      (i32.eqz
        (call $path_filestat_get (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64))))
    (call $stat_holds)

    (i64.store (i32.const 256) (i64.const 77))      ;; userdata
    (i32.store8 (i32.const 264) (i32.const 0))      ;; a clock
    (i64.store (i32.const 272) (i64.const 5))       ;; its identifier
    (i32.store (i32.const 280) (i32.const 1))       ;; monotonic
    (i64.store (i32.const 288) (i64.const 1000000)) ;; a millisecond
    (call $check
      (i32.eqz (call $poll_oneoff (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 40))))
    (call $check (i32.eq (i32.load (i32.const 40)) (i32.const 1)))
    (call $check (i64.eq (i64.load (i32.const 512)) (i64.const 77)))

    (call $print (i32.const 18) (i32.const 1))
    (call $proc_exit (global.get $failed))))
