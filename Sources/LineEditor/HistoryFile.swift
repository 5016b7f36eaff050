#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The lines that were typed, in a file that only its owner can read, one entry a line; line breaks within an entry are
/// written as the byte 1. Several processes may add to it at the same time: none loses what another has written.
public struct HistoryFile: Sendable {
    /// Where it is.
    public let path: String
    /// How many entries are kept.
    public let limit: Int

    /// A file that need not be there yet, in a folder that need not be there either.
    public init(path: String, limit: Int) {
        self.path = path
        self.limit = limit
    }

    /// The entries, oldest first; none where there is no file, or it cannot be read.
    public func load() -> [String] {
        guard let file = open(O_RDONLY) else { return [] }
        defer { close(file) }
        flock(file, LOCK_SH)
        return Array(entries(of: file).suffix(limit))
    }

    /// Adds an entry at the end. One that cannot be written is lost: a history is no reason to bother anybody.
    public func append(_ entry: String) {
        guard limit > 0, !entry.isEmpty else { return }
        makeFolder()
        guard let file = open(O_RDWR | O_CREAT | O_APPEND) else { return }
        defer { close(file) }
        flock(file, LOCK_EX)
        write(encoded(entry), to: file)
    }

    /// Leaves the newest entries only. An entry that another process adds meanwhile is kept.
    public func trim() {
        guard let file = open(O_RDWR) else { return }
        defer { close(file) }
        flock(file, LOCK_EX)
        let all = entries(of: file)
        // Half as much again may stand there, so that not every session writes the whole file.
        guard all.count > limit + limit / 2 else { return }
        var bytes: [UInt8] = []
        for entry in all.suffix(limit) { bytes += encoded(entry) }
        // In place: a file of another name would lose what is added to this one meanwhile.
        guard pwrite(file, bytes, bytes.count, 0) == bytes.count else { return }
        ftruncate(file, off_t(bytes.count))
    }

    private func open(_ flags: Int32) -> Int32? {
        let file = openFile(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { return nil }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(file)
            return nil
        }
        if status.st_mode & 0o077 != 0, flags & O_ACCMODE != O_RDONLY { fchmod(file, 0o600) }
        return file
    }

    private func makeFolder() {
        var end = path.startIndex
        while let slash = path[end...].dropFirst().firstIndex(of: "/") {
            mkdir(String(path[..<slash]), 0o700)
            end = slash
        }
    }

    private func encoded(_ entry: String) -> [UInt8] {
        entry.utf8.map { $0 == 0x0a ? 1 : $0 == 0x0d ? 0x20 : $0 } + [0x0a]
    }

    private func entries(of file: Int32) -> [String] {
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = pread(file, &block, block.count, off_t(bytes.count))
            if count <= 0 { break }
            bytes += block[..<count]
        }
        return bytes.split(separator: 0x0a).map { line in
            String(decoding: line.map { $0 == 1 ? 0x0a : $0 }, as: UTF8.self)
        }
    }

    private func write(_ bytes: [UInt8], to file: Int32) { _ = writeFile(file, bytes, bytes.count) }
}

private func openFile(_ path: String, _ flags: Int32, _ mode: mode_t) -> Int32 { open(path, flags, mode) }
private func writeFile(_ file: Int32, _ bytes: [UInt8], _ count: Int) -> Int { write(file, bytes, count) }
