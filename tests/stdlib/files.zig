//! Files by Zig's standard library: its package ships without its own tests of them.

const std = @import("std");
const Dir = std.Io.Dir;
const expect = std.testing.expect;
const expectEqual = std.testing.expectEqual;
const expectEqualStrings = std.testing.expectEqualStrings;
const expectError = std.testing.expectError;
const io = std.testing.io;
const gpa = std.testing.allocator;

fn expectText(dir: Dir, path: []const u8, text: []const u8) !void {
    const found = try dir.readFileAlloc(io, path, gpa, .limited(1 << 20));
    defer gpa.free(found);
    try expectEqualStrings(text, found);
}

test "a directory that was opened is one to make files in" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    try tmp.dir.createDir(io, "sub", .default_dir);
    var sub = try tmp.dir.openDir(io, "sub", .{});
    defer sub.close(io);
    try sub.writeFile(io, .{ .sub_path = "file", .data = "words" });
    try expectText(sub, "file", "words");
    try expectText(tmp.dir, "sub/file", "words");
    var deeper = try sub.createDirPathOpen(io, "a/b/c", .{});
    defer deeper.close(io);
    try deeper.writeFile(io, .{ .sub_path = "leaf", .data = "green" });
    try expectText(tmp.dir, "sub/a/b/c/leaf", "green");
}

test "a file is read and written in both ways" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var file = try tmp.dir.createFile(io, "file", .{ .read = true });
    defer file.close(io);
    try file.writeStreamingAll(io, "0123456789");
    try file.writePositionalAll(io, "ab", 4);
    var bytes: [16]u8 = undefined;
    try expectEqual(10, try file.readPositionalAll(io, &bytes, 0));
    try expectEqualStrings("0123ab6789", bytes[0..10]);
    try file.setLength(io, 5);
    try expectEqual(5, try file.length(io));
    try file.setLength(io, 7);
    try expectEqual(7, try file.readPositionalAll(io, &bytes, 0));
    try expectEqualStrings("0123a\x00\x00", bytes[0..7]);
    try file.sync(io);
    try expectEqual(.file, (try file.stat(io)).kind);
}

test "buffers of readers and writers" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    {
        var file = try tmp.dir.createFile(io, "lines", .{});
        defer file.close(io);
        var buffer: [64]u8 = undefined;
        var writer = file.writer(io, &buffer);
        for (0..1000) |number| try writer.interface.print("line {d}\n", .{number});
        try writer.interface.flush();
    }
    var file = try tmp.dir.openFile(io, "lines", .{});
    defer file.close(io);
    var buffer: [64]u8 = undefined;
    var reader = file.reader(io, &buffer);
    var count: usize = 0;
    while (try reader.interface.takeDelimiter('\n')) |line| : (count += 1) {
        var wanted: [16]u8 = undefined;
        try expectEqualStrings(try std.fmt.bufPrint(&wanted, "line {d}", .{count}), line);
    }
    try expectEqual(1000, count);
    try reader.seekTo(5);
    try expectEqual('0', try reader.interface.takeByte());
}

test "what can not be is told by its name" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    try tmp.dir.writeFile(io, .{ .sub_path = "file", .data = "" });
    try tmp.dir.createDirPath(io, "full/of");
    try expectError(error.FileNotFound, tmp.dir.openFile(io, "nothing", .{}));
    try expectError(error.FileNotFound, tmp.dir.openDir(io, "nothing", .{}));
    try expectError(error.FileNotFound, tmp.dir.access(io, "nothing", .{}));
    try expectError(error.PathAlreadyExists, tmp.dir.createFile(io, "file", .{ .exclusive = true }));
    try expectError(error.PathAlreadyExists, tmp.dir.createDir(io, "file", .default_dir));
    try expectError(error.NotDir, tmp.dir.openDir(io, "file", .{}));
    try expectError(error.NotDir, tmp.dir.openFile(io, "file/below", .{}));
    try expectError(error.IsDir, tmp.dir.openFile(io, "full", .{ .mode = .read_write }));
    try expectError(error.IsDir, tmp.dir.openFile(io, "full", .{ .allow_directory = false }));
    try expectError(error.DirNotEmpty, tmp.dir.deleteDir(io, "full"));
    try expectError(error.FileNotFound, tmp.dir.deleteFile(io, "nothing"));
    try expectError(error.IsDir, tmp.dir.deleteFile(io, "full"));
    try expectError(error.FileNotFound, tmp.dir.rename("nothing", tmp.dir, "elsewhere", io));
    try expectError(error.PathAlreadyExists, tmp.dir.hardLink("file", tmp.dir, "full", io, .{}));
}

test "directories are iterated, also while they change" {
    var tmp = std.testing.tmpDir(.{ .iterate = true });
    defer tmp.cleanup();
    var name: [16]u8 = undefined;
    for (0..300) |number| {
        try tmp.dir.writeFile(io, .{ .sub_path = try std.fmt.bufPrint(&name, "f{d}", .{number}), .data = "" });
    }
    var seen = std.StringHashMapUnmanaged(void).empty;
    defer {
        var keys = seen.keyIterator();
        while (keys.next()) |key| gpa.free(key.*);
        seen.deinit(gpa);
    }
    var entries = tmp.dir.iterate();
    while (try entries.next(io)) |entry| {
        try expectEqual(.file, entry.kind);
        try expect(!seen.contains(entry.name));
        try seen.put(gpa, try gpa.dupe(u8, entry.name), {});
        try tmp.dir.deleteFile(io, entry.name);
    }
    try expectEqual(300, seen.count());
    var again = tmp.dir.iterate();
    try expectEqual(null, try again.next(io));
}

test "a tree is walked and deleted" {
    var tmp = std.testing.tmpDir(.{ .iterate = true });
    defer tmp.cleanup();
    for ([_][]const u8{ "a/b/c", "a/d", "e" }) |path| try tmp.dir.createDirPath(io, path);
    try tmp.dir.writeFile(io, .{ .sub_path = "a/b/file", .data = "x" });
    var walker = try tmp.dir.walk(gpa);
    defer walker.deinit();
    var directories: usize = 0;
    var files: usize = 0;
    while (try walker.next(io)) |entry| switch (entry.kind) {
        .directory => directories += 1,
        .file => {
            files += 1;
            try expectEqualStrings("a/b/file", entry.path);
        },
        else => unreachable,
    };
    try expectEqual(5, directories);
    try expectEqual(1, files);
    try tmp.dir.deleteTree(io, "a");
    try expectError(error.FileNotFound, tmp.dir.access(io, "a", .{}));
    try tmp.dir.deleteTree(io, "a");
}

test "files are moved and copied, over others too" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    try tmp.dir.writeFile(io, .{ .sub_path = "one", .data = "first" });
    try tmp.dir.writeFile(io, .{ .sub_path = "two", .data = "second" });
    var sub = try tmp.dir.createDirPathOpen(io, "sub", .{});
    defer sub.close(io);
    try tmp.dir.rename("one", sub, "moved", io);
    try expectText(sub, "moved", "first");
    try tmp.dir.copyFile("two", sub, "copied", io, .{});
    try expectText(sub, "copied", "second");
    try sub.rename("moved", tmp.dir, "two", io);
    try expectText(tmp.dir, "two", "first");
    try tmp.dir.rename("sub", tmp.dir, "renamed", io);
    try expectText(tmp.dir, "renamed/copied", "second");
}

test "a file that appears when it is whole" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var whole = try tmp.dir.createFileAtomic(io, "deep/file", .{ .make_path = true, .replace = true });
    defer whole.deinit(io);
    try whole.file.writeStreamingAll(io, "all of it");
    try expectError(error.FileNotFound, tmp.dir.access(io, "deep/file", .{}));
    try whole.replace(io);
    try expectText(tmp.dir, "deep/file", "all of it");
}

test "links" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    try tmp.dir.createDirPath(io, "sub");
    try tmp.dir.writeFile(io, .{ .sub_path = "sub/file", .data = "linked" });
    try tmp.dir.symLink(io, "sub/file", "soft", .{});
    var bytes: [32]u8 = undefined;
    try expectEqualStrings("sub/file", bytes[0..try tmp.dir.readLink(io, "soft", &bytes)]);
    try expectEqual(.sym_link, (try tmp.dir.statFile(io, "soft", .{ .follow_symlinks = false })).kind);
    try expectEqual(.file, (try tmp.dir.statFile(io, "soft", .{})).kind);
    try tmp.dir.symLink(io, "sub", "to-sub", .{ .is_directory = true });
    try expectText(tmp.dir, "to-sub/file", "linked");
    var through = try tmp.dir.openDir(io, "to-sub", .{});
    defer through.close(io);
    try expectText(through, "file", "linked");
    try tmp.dir.symLink(io, "self", "self", .{});
    try expectError(error.SymLinkLoop, tmp.dir.openDir(io, "self", .{}));
    try tmp.dir.symLink(io, "nowhere", "dangling", .{});
    try expectError(error.FileNotFound, tmp.dir.openDir(io, "dangling", .{}));
    try tmp.dir.hardLink("sub/file", tmp.dir, "hard", io, .{});
    const stat = try tmp.dir.statFile(io, "hard", .{});
    try expectEqual((try tmp.dir.statFile(io, "sub/file", .{})).inode, stat.inode);
    try expectEqual(2, stat.nlink);
    try tmp.dir.deleteFile(io, "sub/file");
    try expectText(tmp.dir, "hard", "linked");
}

test "a link to a file is followed when it is opened" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    try tmp.dir.writeFile(io, .{ .sub_path = "file", .data = "linked" });
    try tmp.dir.symLink(io, "file", "soft", .{});
    try expectText(tmp.dir, "soft", "linked");
}

test "times are kept as they were set" {
    var tmp = std.testing.tmpDir(.{});
    defer tmp.cleanup();
    var file = try tmp.dir.createFile(io, "file", .{});
    defer file.close(io);
    const when: std.Io.Timestamp = .{ .nanoseconds = 1_234_567_890 * std.time.ns_per_s + 123_456_789 };
    try file.setTimestamps(io, .{ .access_timestamp = .{ .new = when }, .modify_timestamp = .{ .new = when } });
    const stat = try tmp.dir.statFile(io, "file", .{});
    try expectEqual(when.nanoseconds, stat.mtime.nanoseconds);
    try expectEqual(when.nanoseconds, stat.atime.?.nanoseconds);
    const before = std.Io.Timestamp.now(io, .real);
    try file.setTimestampsNow(io);
    // The system's clock of files may be some milliseconds behind.
    try expect((try tmp.dir.statFile(io, "file", .{})).mtime.nanoseconds > before.nanoseconds - std.time.ns_per_s);
}
