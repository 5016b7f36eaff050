#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// Reads a file from front to back, in records that end with a newline or begin with their length.
///
/// What it hands over lies in its own memory, and is there for the call.
final class ImportFile {
    let path: String
    private let descriptor: Int32
    @exclusivity(unchecked) private var buffer: UnsafeMutablePointer<UInt8>
    @exclusivity(unchecked) private var capacity = 1 << 18
    /// What was read, from `start` to `end`, is wanted still.
    @exclusivity(unchecked) private var start = 0
    @exclusivity(unchecked) private var end = 0
    private var isAtEnd = false
    /// The place of the next record, in bytes from the file's start.
    @exclusivity(unchecked) private(set) var offset = 0
    /// No record is longer: no database takes a payload that would make one.
    static let maximumRecordBytes = 1 << 30

    init(_ path: String, from offset: Int = 0) throws(FileError) {
        self.path = path
        self.offset = offset
        buffer = .allocate(capacity: capacity)
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError(path) }
        guard lseek(descriptor, off_t(offset), SEEK_SET) >= 0 else { throw FileError(path) }
    }

    deinit {
        buffer.deallocate()
        close(descriptor)
    }

    /// The file's size in bytes.
    func size() throws(FileError) -> Int {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw FileError(path) }
        return Int(status.st_size)
    }

    /// Hands over the next line, without its end; nil at the end of the file.
    ///
    /// - Throws: ``ExportProblem`` for one without an end, or that is too long; what `body` throws.
    func nextLine<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) throws -> Result? {
        var searched = 0
        while true {
            let rest = UnsafeBufferPointer(start: buffer + start + searched, count: end - start - searched)
            if let found = rest.firstNewline {
                let line = UnsafeBufferPointer(start: buffer + start, count: searched + found)
                defer { take(line.count + 1) }
                return try body(line)
            }
            searched = end - start
            guard try fill() else {
                if searched == 0 { return nil }
                throw ExportProblem("the file ends in the middle of a line: it is truncated")
            }
            if end - start > Self.maximumRecordBytes { throw ExportProblem("a line is too long") }
        }
    }

    /// Hands over the next message, without its length; nil at the end of the file.
    ///
    /// - Throws: ``ExportProblem`` when the file ends within one; what `body` throws.
    func nextMessage<Result>(_ body: (UnsafeBufferPointer<UInt8>) throws -> Result) throws -> Result? {
        var length: UInt64 = 0
        var count = 0
        while true {
            if start + count == end {
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
        while end - start < total {
            guard try fill() else { throw ExportProblem("the file ends in the middle of a message: it is truncated") }
        }
        let message = UnsafeBufferPointer(start: buffer + start + count, count: Int(length))
        defer { take(total) }
        return try body(message)
    }

    /// Hands over the next bytes, as many as there are; false at the end of the file.
    func nextBlock(_ body: (UnsafeBufferPointer<UInt8>) -> Void) throws(FileError) -> Bool {
        if start == end {
            guard try fill() else { return false }
        }
        body(UnsafeBufferPointer(start: buffer + start, count: end - start))
        take(end - start)
        return true
    }

    private func take(_ count: Int) {
        offset += count
        start += count
    }

    /// Reads more; false at the end of the file. What was read before and is still wanted moves to the front.
    private func fill() throws(FileError) -> Bool {
        if isAtEnd { return false }
        let kept = end - start
        if kept == capacity {
            capacity *= 2
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
            larger.update(from: buffer + start, count: kept)
            buffer.deallocate()
            buffer = larger
        } else if start > 0 {
            buffer.update(from: buffer + start, count: kept)
        }
        (start, end) = (0, kept)
        var count = read(descriptor, buffer + end, capacity - end)
        while count < 0, errno == EINTR { count = read(descriptor, buffer + end, capacity - end) }
        if count < 0 { throw FileError(path) }
        if count == 0 {
            isAtEnd = true
            return false
        }
        end += count
        return true
    }
}

extension UnsafeBufferPointer<UInt8> {
    /// Where the first newline is; nil when there is none.
    fileprivate var firstNewline: Int? {
        guard let first = baseAddress, let found = memchr(first, 0x0a, count) else { return nil }
        return UnsafeRawPointer(found) - UnsafeRawPointer(first)
    }
}
