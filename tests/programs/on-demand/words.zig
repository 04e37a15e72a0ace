//! Counts the words of the files below /texts and writes the list to /out/words, whole or not at all.

const std = @import("std");
const Io = std.Io;

fn letter(byte: u8) bool {
    return std.ascii.isAlphabetic(byte) or byte >= 0x80;
}

const Counts = std.StringArrayHashMapUnmanaged(usize);

const Order = struct {
    counts: *const Counts,
    pub fn lessThan(order: Order, a: usize, b: usize) bool {
        const counts = order.counts.values();
        if (counts[a] != counts[b]) return counts[a] > counts[b];
        return std.mem.lessThan(u8, order.counts.keys()[a], order.counts.keys()[b]);
    }
};

pub fn main(init: std.process.Init) !void {
    const io = init.io;
    const arena = init.arena.allocator();
    var buffer: [1024]u8 = undefined;
    var stdout = Io.File.stdout().writer(io, &buffer);

    var counts: Counts = .empty;
    const texts = init.preopens.get("/texts").?.dir;
    const made = init.preopens.get("/out").?.dir;
    var paths: std.ArrayList([]const u8) = .empty;
    var walker = try texts.walk(arena);
    while (try walker.next(io)) |entry| {
        if (entry.kind == .file) try paths.append(arena, try arena.dupe(u8, entry.path));
    }
    // A directory's order is its file system's.
    std.mem.sort([]const u8, paths.items, {}, struct {
        fn lessThan(_: void, a: []const u8, b: []const u8) bool {
            return std.mem.lessThan(u8, a, b);
        }
    }.lessThan);
    for (paths.items) |path| {
        const text = try texts.readFileAlloc(io, path, arena, .limited(1 << 20));
        var words: usize = 0;
        var at: usize = 0;
        while (at < text.len) {
            const from = at;
            while (at < text.len and letter(text[at])) at += 1;
            if (at > from) {
                const word = try std.ascii.allocLowerString(arena, text[from..at]);
                const found = try counts.getOrPutValue(arena, word, 0);
                found.value_ptr.* += 1;
                words += 1;
            } else at += 1;
        }
        try stdout.interface.print("{s}: {d}\n", .{ path, words });
    }
    counts.sort(Order{ .counts = &counts });

    var list = try made.createFileAtomic(io, "words", .{ .replace = true });
    defer list.deinit(io);
    var out_buffer: [256]u8 = undefined;
    var out = list.file.writer(io, &out_buffer);
    for (counts.keys(), counts.values()) |word, count| try out.interface.print("{d:4} {s}\n", .{ count, word });
    try out.interface.flush();
    try list.file.sync(io);
    try list.replace(io);

    try stdout.interface.writeAll(try made.readFileAlloc(io, "words", arena, .limited(1 << 20)));
    // What it was given to read, it can't change.
    if (texts.createFile(io, "made", .{})) |_| {
        return error.WritableTexts;
    } else |_| try stdout.interface.writeAll("refused\n");
    try stdout.interface.flush();
}
