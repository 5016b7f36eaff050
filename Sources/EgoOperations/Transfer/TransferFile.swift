import Crypto
import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Why a file could not be read or written.
public struct FileError: Error, Sendable, CustomStringConvertible {
    /// The file.
    public var path: String
    /// The operating system's error number.
    public var number: Int32

    init(_ path: String, number: Int32 = errno) {
        self.path = path
        self.number = number
    }

    public var description: String { String(cString: strerror(number)) }
}

/// A file that an export is written to, under another name until it is whole.
final class ExportFile: Sendable {
    private let path: String
    private let descriptor: Int32

    /// What the file is called until it is whole.
    static func partialPath(_ path: String) -> String { path + ".partial" }

    /// Fails when no file can be made there, before anything is done.
    static func check(_ path: String) throws(FileError) {
        let folder = folder(of: path)
        guard access(folder, W_OK | X_OK) == 0 else { throw FileError(folder) }
    }

    /// SHA-256 of a file's first bytes; nil when it is shorter, or not there.
    static func sum(_ path: String, bytes: Int) throws(FileError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        if descriptor < 0 {
            if errno == ENOENT { return nil }
            throw FileError(path)
        }
        defer { close(descriptor) }
        var hash = SHA256()
        var left = bytes
        var block = [UInt8](repeating: 0, count: 1 << 20)
        while left > 0 {
            let count = read(descriptor, &block, min(left, block.count))
            if count < 0 { throw FileError(path) }
            if count == 0 { return nil }
            hash.update(data: block[..<count])
            left -= count
        }
        return Hexadecimal.text(hash.finalize())
    }

    /// Opens the unfinished file, or makes it, and locks it: of two processes one gets it.
    ///
    /// - Throws: ``FileError`` with `EWOULDBLOCK` when another process writes it.
    init(_ path: String) throws(FileError) {
        self.path = path
        let partial = Self.partialPath(path)
        descriptor = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_CREAT, 0o600)
        guard descriptor >= 0, flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw FileError(partial) }
        // Whoever had the lock may have given the file its final name since it was opened here.
        var (own, named) = (stat(), stat())
        guard fstat(descriptor, &own) == 0, stat(partial, &named) == 0, own.st_ino == named.st_ino else {
            throw FileError(partial, number: EWOULDBLOCK)
        }
    }

    /// Cuts off what was written after `bytes`.
    func truncate(to bytes: Int) throws(FileError) {
        guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) == off_t(bytes) else {
            throw FileError(Self.partialPath(path))
        }
    }

    deinit { close(descriptor) }

    /// SHA-256 of what was written so far, to be gone on with.
    func hash() throws(FileError) -> SHA256 {
        var hash = SHA256()
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var offset: off_t = 0
        while true {
            let count = pread(descriptor, &block, block.count, offset)
            if count < 0 { throw FileError(path) }
            if count == 0 { return hash }
            hash.update(data: block[..<count])
            offset += off_t(count)
        }
    }

    func write(_ bytes: [UInt8]) throws(FileError) {
        let name = ExportFile.partialPath(path)
        try bytes.withUnsafeBufferPointer { (bytes) throws(FileError) in
            try UnsafeRawBufferPointer(bytes).write(to: descriptor, name)
        }
        #if os(Linux)
            // The disk begins with it now, rather than have it all to do in the end, and gives back its memory, which the
            // database has a use for. `sync` sees an error of it.
            _ = posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        #endif
    }

    /// Returns when everything that was written is on disk.
    func sync() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError(ExportFile.partialPath(path)) }
    }

    /// Gives the file its name, in place of one that is there.
    func complete() throws(FileError) {
        guard rename(Self.partialPath(path), path) == 0 else { throw FileError(path) }
        try Self.syncFolder(of: path)
    }

    /// Overwrites the unfinished file of an export and removes it; returns whether there was one.
    ///
    /// - Throws: ``FileError`` with `EWOULDBLOCK` when another process writes it.
    static func shred(_ path: String) throws(FileError) -> Bool {
        let partial = partialPath(path)
        let descriptor = open(partial, O_RDWR | O_CLOEXEC | O_NOFOLLOW)
        if descriptor < 0 {
            if errno == ENOENT { return false }
            throw FileError(partial)
        }
        defer { close(descriptor) }
        var status = stat()
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0, fstat(descriptor, &status) == 0 else {
            throw FileError(partial)
        }
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        var offset: off_t = 0
        while offset < status.st_size {
            let count = pwrite(descriptor, zeros, min(zeros.count, Int(status.st_size - offset)), offset)
            if count <= 0 { throw FileError(partial) }
            offset += off_t(count)
        }
        guard fsync(descriptor) == 0, unlink(partial) == 0 else { throw FileError(partial) }
        try syncFolder(of: path)
        return true
    }

    /// Removes the file, when nothing was written to it.
    func discard() {
        unlink(Self.partialPath(path))
    }

    private static func folder(of path: String) -> String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "." }

    /// A new name is durable when its folder is.
    private static func syncFolder(of path: String) throws(FileError) {
        let folder = folder(of: path)
        let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(folder) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw FileError(folder) }
    }
}

private func systemWrite(_ descriptor: Int32, _ bytes: UnsafeRawPointer?, _ count: Int) -> Int {
    write(descriptor, bytes, count)
}

/// Copies what comes in blocks to a file.
public enum TransferCopy {
    /// Writes the blocks that `next` gives, up to an empty one; nil from it is an error of reading.
    ///
    /// The file is for this user only, and must not exist yet.
    public static func write(to path: String, _ next: () -> [UInt8]?) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw FileError(path) }
        defer { close(descriptor) }
        while let block = next() {
            if block.isEmpty { return }
            try block.withUnsafeBytes { try $0.write(to: descriptor, path) }
        }
        throw FileError("standard input", number: EBADF)
    }

    /// Whether a file can be read twice: a pipe or a device cannot. What is not there can as well.
    public static func isRepeatable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
    }

    /// Writes what is read from another file, such as a named pipe.
    public static func write(to path: String, from source: String) throws {
        let descriptor = open(source, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(source) }
        defer { close(descriptor) }
        var block = [UInt8](repeating: 0, count: 1 << 16)
        try write(to: path) {
            while true {
                let count = read(descriptor, &block, block.count)
                if count >= 0 { return Array(block[..<count]) }
                if errno != EINTR { return nil }
            }
        }
    }
}

extension UnsafeRawBufferPointer {
    fileprivate func write(to descriptor: Int32, _ path: String) throws(FileError) {
        var start = 0
        while start < count {
            let written = systemWrite(descriptor, baseAddress.map { $0 + start }, count - start)
            if written >= 0 {
                start += written
            } else if errno != EINTR {
                throw FileError(path)
            }
        }
    }
}
