import EgoCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

/// The space of a database's files that no record uses: free pages, gaps in pages, the ends of overflow pages, and pages
/// in the write-ahead log that were written over since.
///
/// Source: "Database File Format" of sqlite.org/fileformat2.html, sections 1.5 (freelist), 1.6 (b-tree pages) and 4
/// (write-ahead log). Others may write meanwhile: a page that cannot be understood is read again.
struct SQLiteDeadSpace {
    private let path: String
    private let search: ResidueSearch
    private let patterns: [[UInt8]]
    private var report = PurgeReport()
    private var pageSize = 0
    private var usable = 0

    /// How many residues the files of a database have.
    static func scan(_ path: String, for search: ResidueSearch) throws(StoreError) -> PurgeReport {
        var space = SQLiteDeadSpace(path: path, search: search)
        try space.scanDatabase()
        if search.includesLog { try space.scanLog() }
        return space.report
    }

    private init(path: String, search: ResidueSearch) {
        self.path = path
        self.search = search
        // As payloads hold an ID: a protobuf string, its length in front.
        self.patterns = search.ids.map { id in
            var writer = WireWriter()
            writer.string(id.rawValue, field: 1)
            return Array(writer.bytes.dropFirst())
        }
    }

    // MARK: The database

    private mutating func scanDatabase() throws(StoreError) {
        let file = try RawFile(path)
        let header = try file.read(at: 0, count: 100)
        if header.count < 100 { return }  // an empty database
        pageSize = header.short(16) == 1 ? 65_536 : header.short(16)
        usable = pageSize - Int(header[20])
        if pageSize < 512 || usable < 480 { throw StoreError(.corrupt, "\(path) has a damaged header") }
        let free = try freePages(file, first: header.word(32), count: header.word(36))
        let pages = Int(file.size / Int64(pageSize))
        var number = 1
        while number <= pages {
            // Many pages at a time: it is a walk over the whole file.
            let count = min(256, pages - number + 1)
            let bytes = try file.read(at: Int64(number - 1) * Int64(pageSize), count: count * pageSize)
            for index in 0..<count where (index + 1) * pageSize <= bytes.count {
                let page = Array(bytes[(index * pageSize)..<((index + 1) * pageSize)])
                try scan(
                    page, number: number + index,
                    isFree: free.contains(number + index), file)
            }
            number += count
        }
        report.scannedBytes += Int(file.size)
    }

    private mutating func scan(
        _ page: [UInt8], number: Int, isFree: Bool, _ file: RawFile
    ) throws(StoreError) {
        if isFree { return look(at: page[...]) }
        var page = page
        for _ in 0..<3 {
            if let dead = deadRanges(of: page, number: number) {
                for range in dead { look(at: page[range]) }
                try scanOverflow(of: page, number: number, file)
                return
            }
            page = try file.read(at: Int64(number - 1) * Int64(pageSize), count: pageSize)
        }
    }

    private func freePages(_ file: RawFile, first: Int, count: Int) throws(StoreError) -> Set<Int> {
        var free: Set<Int> = []
        var trunk = first
        // A list that changes while it is read may seem to go round.
        while trunk != 0, free.count <= count, free.insert(trunk).inserted {
            let page = try file.read(at: Int64(trunk - 1) * Int64(pageSize), count: pageSize)
            if page.count < pageSize { break }
            let leaves = min(page.word(4), usable / 4 - 2)
            for index in 0..<max(0, leaves) { free.insert(page.word(8 + 4 * index)) }
            trunk = page.word(0)
        }
        return free
    }

    // MARK: A page

    private struct Cell {
        var range: Range<Int>
        /// How much of the content is on overflow pages, and the first of them.
        var overflow: (bytes: Int, page: Int)?
    }

    /// The cells of a b-tree page; empty for a page of another kind, nil for one that makes no sense.
    private func cells(of page: [UInt8], number: Int) -> (cells: [Cell], end: Int)? {
        let start = number == 1 ? 100 : 0
        let kind = page[start]
        guard [2, 5, 10, 13].contains(kind) else { return ([], page.count) }
        let isInterior = kind == 2 || kind == 5
        let array = start + (isInterior ? 12 : 8)
        let count = page.short(start + 3)
        let end = array + 2 * count
        if end > usable { return nil }
        var cells: [Cell] = []
        for index in 0..<count {
            let offset = page.short(array + 2 * index)
            guard offset >= end, let cell = cell(of: page, at: offset, kind: kind) else { return nil }
            cells.append(cell)
        }
        return (cells, end)
    }

    private func cell(of page: [UInt8], at offset: Int, kind: UInt8) -> Cell? {
        var position = offset + (kind == 2 || kind == 5 ? 4 : 0)
        guard let first = page.variable(&position) else { return nil }
        if kind == 5 { return Cell(range: offset..<position) }
        if kind == 13, page.variable(&position) == nil { return nil }
        guard first <= 1 << 31 else { return nil }
        let size = Int(first)
        let most = kind == 13 ? usable - 35 : (usable - 12) * 64 / 255 - 23
        let least = (usable - 12) * 32 / 255 - 23
        let surplus = least + (size - least) % (usable - 4)
        let local = size <= most ? size : (surplus <= most ? surplus : least)
        var end = position + local + (size > most ? 4 : 0)
        if end > usable { return nil }
        var overflow: (bytes: Int, page: Int)?
        if size > most { overflow = (size - local, page.word(end - 4)) }
        end = max(end, offset + 4)
        return Cell(range: offset..<min(end, usable), overflow: overflow)
    }

    private func deadRanges(of page: [UInt8], number: Int) -> [Range<Int>]? {
        guard let (cells, start) = cells(of: page, number: number) else { return nil }
        var dead: [Range<Int>] = []
        var end = start
        for cell in cells.map(\.range).sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if cell.lowerBound > end { dead.append(end..<cell.lowerBound) }
            end = max(end, cell.upperBound)
        }
        if end < page.count { dead.append(end..<page.count) }
        return dead
    }

    private mutating func scanOverflow(of page: [UInt8], number: Int, _ file: RawFile) throws(StoreError) {
        for cell in cells(of: page, number: number)?.cells ?? [] {
            guard var (bytes, next) = cell.overflow else { continue }
            while bytes > usable - 4, next != 0 {
                let link = try file.read(at: Int64(next - 1) * Int64(pageSize), count: 4)
                if link.count < 4 { break }
                next = link.word(0)
                bytes -= usable - 4
            }
            if next == 0 || bytes > usable - 4 { continue }
            let last = try file.read(at: Int64(next - 1) * Int64(pageSize), count: pageSize)
            if last.count == pageSize { look(at: last[(4 + bytes)...]) }
        }
    }

    // MARK: The write-ahead log

    private mutating func scanLog() throws(StoreError) {
        guard let file = try? RawFile("\(path)-wal", isKept: false), file.size > 32, pageSize > 0 else { return }
        let header = try file.read(at: 0, count: 32)
        if header.count < 32 { return }
        let frameSize = pageSize + 24
        let count = Int((file.size - 32) / Int64(frameSize))
        var newest: [Int: Int] = [:]
        for index in 0..<count {
            let frame = try file.read(at: 32 + Int64(index) * Int64(frameSize), count: 24)
            if frame.count == 24, frame[8..<16] == header[16..<24] { newest[frame.word(0)] = index }
        }
        for index in 0..<count {
            let frame = try file.read(at: 32 + Int64(index) * Int64(frameSize), count: frameSize)
            if frame.count < frameSize { break }
            let page = Array(frame[24...])
            let number = frame.word(0)
            if newest[number] == index, let dead = deadRanges(of: page, number: number) {
                for range in dead { look(at: page[range]) }
            } else {
                look(at: page[...])
            }
        }
        report.scannedBytes += Int(file.size)
    }

    // MARK: What is looked for

    private mutating func look(at bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { bytes in
            if bytes.allSatisfy({ $0 == 0 }) { return }
            report.residues += search.sample.occurrences(in: bytes)
            for pattern in patterns where pattern.count > 1 {
                report.residues += pattern.withUnsafeBytes { Self.occurrences(of: $0, in: bytes) }
            }
        }
    }

    /// How often an ID is there as a field of a message: before its length stands the tag of a field with a length.
    private static func occurrences(of pattern: UnsafeRawBufferPointer, in bytes: UnsafeRawBufferPointer) -> Int {
        guard let start = bytes.baseAddress, let wanted = pattern.baseAddress else { return 0 }
        var found = 0
        var position = 0
        while position + pattern.count <= bytes.count {
            let rest = bytes.count - position - pattern.count + 1
            guard let match = memchr(start + position, Int32(pattern[0]), rest) else { break }
            let place = UnsafeRawPointer(match) - start
            if memcmp(match, wanted, pattern.count) == 0, place > 0, bytes[place - 1] & 7 == 2 { found += 1 }
            position = place + 1
        }
        return found
    }
}

/// A file that is read at any place, without a lock of SQLite's being touched.
///
/// Closing a descriptor of a database gives up all locks that this process has on it; so the descriptor stays open for as
/// long as the process lives where the file is a database. Source: "How To Corrupt An SQLite Database File", section 2.2.
private final class RawFile {
    let size: Int64
    private let descriptor: Int32
    private let isKept: Bool
    private let path: String

    /// - Parameter isKept: whether the descriptor stays open; a log has no locks to lose.
    init(_ path: String, isKept: Bool = true) throws(StoreError) {
        self.path = path
        self.isKept = isKept
        descriptor = try isKept ? RawFiles.descriptor(of: path) : RawFiles.newDescriptor(of: path)
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw StoreError(.io, "\(path): \(String(cString: strerror(errno)))")
        }
        size = Int64(status.st_size)
    }

    deinit { if !isKept { close(descriptor) } }

    /// At most `count` bytes: fewer at the end of the file.
    func read(at offset: Int64, count: Int) throws(StoreError) -> [UInt8] {
        var done = 0
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while done < count {
                let more = pread(
                    descriptor, buffer.baseAddress.map { $0 + done }, count - done, off_t(offset + Int64(done)))
                if more < 0, errno == EINTR { continue }
                if more < 0 { failure = errno }
                if more <= 0 { break }
                done += more
            }
            filled = done
        }
        if failure != 0 { throw StoreError(.io, "\(path): \(String(cString: strerror(failure)))") }
        return bytes
    }
}

extension [UInt8] {
    /// The big-endian number of two bytes.
    fileprivate func short(_ offset: Int) -> Int { Int(self[offset]) << 8 | Int(self[offset + 1]) }

    /// The big-endian number of four bytes.
    fileprivate func word(_ offset: Int) -> Int { short(offset) << 16 | short(offset + 2) }

    /// SQLite's variable-length integer; nil past the end.
    fileprivate func variable(_ position: inout Int) -> UInt64? {
        var value: UInt64 = 0
        for index in 0..<9 {
            guard position < count else { return nil }
            let byte = self[position]
            position += 1
            if index == 8 { return value << 8 | UInt64(byte) }
            value = value << 7 | UInt64(byte & 0x7f)
            if byte & 0x80 == 0 { return value }
        }
        return value
    }
}
