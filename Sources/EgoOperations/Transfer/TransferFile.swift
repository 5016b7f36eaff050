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
final class ExportFile {
    private let path: String
    private var descriptor: Int32

    /// What the file is called until it is whole.
    static func partialPath(_ path: String) -> String { path + ".partial" }

    /// Fails when no file can be made there, before anything is done.
    static func check(_ path: String) throws(FileError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard access(folder, W_OK | X_OK) == 0 else { throw FileError(folder) }
    }

    /// How large the unfinished file is; 0 when there is none.
    static func unfinishedBytes(_ path: String) throws(FileError) -> Int {
        var status = stat()
        if stat(partialPath(path), &status) == 0 { return Int(status.st_size) }
        if errno == ENOENT { return 0 }
        throw FileError(partialPath(path))
    }

    /// Opens the unfinished file and cuts off what was written after `bytes`; makes it when `bytes` is 0.
    init(_ path: String, from bytes: Int) throws(FileError) {
        self.path = path
        let partial = Self.partialPath(path)
        descriptor = open(partial, O_RDWR | O_CLOEXEC | (bytes == 0 ? O_CREAT : 0), 0o600)
        guard descriptor >= 0 else { throw FileError(partial) }
        guard ftruncate(descriptor, off_t(bytes)) == 0, lseek(descriptor, 0, SEEK_END) == off_t(bytes) else {
            throw FileError(partial)
        }
    }

    deinit { close(descriptor) }

    /// What was written so far, in blocks.
    func forEachBlock(_ body: ([UInt8]) -> Void) throws(FileError) {
        var block = [UInt8](repeating: 0, count: 1 << 20)
        var offset: off_t = 0
        while true {
            let count = pread(descriptor, &block, block.count, offset)
            if count < 0 { throw FileError(path) }
            if count == 0 { return }
            body(Array(block[..<count]))
            offset += off_t(count)
        }
    }

    func write(_ bytes: [UInt8]) throws(FileError) {
        try bytes.write(to: descriptor, ExportFile.partialPath(path))
    }

    /// Returns when everything that was written is on disk.
    func sync() throws(FileError) {
        guard fsync(descriptor) == 0 else { throw FileError(ExportFile.partialPath(path)) }
    }

    /// Gives the file its name, in place of one that is there.
    func complete() throws(FileError) {
        try sync()
        guard rename(ExportFile.partialPath(path), path) == 0 else { throw FileError(path) }
        try Self.syncFolder(of: path)
    }

    /// A new name is durable when its folder is.
    static func syncFolder(of path: String) throws(FileError) {
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
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
            try block.write(to: descriptor, path)
        }
        throw FileError("standard input", number: EBADF)
    }
}

extension [UInt8] {
    fileprivate func write(to descriptor: Int32, _ path: String) throws(FileError) {
        var start = 0
        while start < count {
            let written = self[start...].withUnsafeBytes { systemWrite(descriptor, $0.baseAddress, $0.count) }
            if written >= 0 {
                start += written
            } else if errno != EINTR {
                throw FileError(path)
            }
        }
    }
}

/// Reads a file from front to back, in records that end with a newline or begin with their length.
final class ImportFile {
    let path: String
    private let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// The place of the next record, in bytes from the file's start.
    private(set) var offset = 0
    /// No record is longer: a page of 16 MiB in base64, with room to spare.
    static let maximumRecordBytes = 64 << 20

    init(_ path: String, from offset: Int = 0) throws(FileError) {
        self.path = path
        self.offset = offset
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path) }
        guard lseek(descriptor, off_t(offset), SEEK_SET) >= 0 else { throw FileError(path) }
    }

    deinit { close(descriptor) }

    /// The file's size in bytes.
    func size() throws(FileError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileError(path) }
        return Int(status.st_size)
    }

    /// The next line without its end; nil at the end of the file.
    ///
    /// - Throws: ``ExportProblem`` for one without an end, or that is too long.
    func nextLine() throws -> ArraySlice<UInt8>? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: 0x0a) {
                defer {
                    offset += end + 1 - start
                    start = end + 1
                }
                return buffer[start..<end]
            }
            searched = buffer.count - start
            guard try fill() else {
                if start == buffer.count { return nil }
                throw ExportProblem("the file ends in the middle of a line: it is truncated")
            }
            searched += start
            if buffer.count - start > Self.maximumRecordBytes { throw ExportProblem("a line is too long") }
        }
    }

    /// The next message after its length; nil at the end of the file.
    ///
    /// - Throws: ``ExportProblem`` when the file ends within one.
    func nextMessage() throws -> ArraySlice<UInt8>? {
        var length: UInt64 = 0
        var count = 0
        while true {
            if start + count == buffer.count {
                guard try fill() else {
                    if count == 0 { return nil }
                    throw ExportProblem("the file ends in the middle of a length: it is truncated")
                }
            }
            let byte = buffer[start + count]
            length |= UInt64(byte & 0x7f) << UInt64(7 * count)
            count += 1
            if byte & 0x80 == 0 { break }
            if count > 4 { throw ExportProblem("a length is too large: this is no file of length-delimited messages") }
        }
        guard length <= UInt64(Self.maximumRecordBytes) else {
            throw ExportProblem("a length is too large: this is no file of length-delimited messages")
        }
        let total = count + Int(length)
        while buffer.count - start < total {
            guard try fill() else { throw ExportProblem("the file ends in the middle of a message: it is truncated") }
        }
        defer {
            offset += total
            start += total
        }
        return buffer[(start + count)..<(start + total)]
    }

    /// The next bytes, as many as there are; nil at the end of the file.
    func nextBlock() throws -> ArraySlice<UInt8>? {
        guard try fill() else { return nil }
        defer {
            offset += buffer.count - start
            start = buffer.count
        }
        return buffer[start...]
    }

    /// Reads more; false at the end of the file. What was read before and is still wanted moves to the front.
    private func fill() throws(FileError) -> Bool {
        if isAtEnd { return false }
        buffer.removeFirst(start)
        start = 0
        var block = [UInt8](repeating: 0, count: 1 << 18)
        var count = read(descriptor, &block, block.count)
        while count < 0, errno == EINTR { count = read(descriptor, &block, block.count) }
        if count < 0 { throw FileError(path) }
        if count == 0 {
            isAtEnd = true
            return false
        }
        buffer.append(contentsOf: block[..<count])
        return true
    }
}
