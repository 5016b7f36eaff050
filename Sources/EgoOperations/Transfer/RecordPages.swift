import EgoCore

/// Records that follow one another in a file.
struct RecordPage: Sendable {
    /// Each with its line or place in the file.
    var records: [(place: Int, record: ExportRecord)]
    /// Where the next page begins, in bytes from the file's start.
    var end: Int
}

/// Reads the records of an export beside whoever takes them: the next page can be read while one is committed.
actor RecordPages {
    private var reader: RecordReader
    private let limit: PageLimit
    /// See ``RecordReader/isPart``.
    nonisolated let isPart: Bool
    /// The file's size in bytes.
    nonisolated let size: Int

    /// Begins where a page ended, or at the start.
    init(_ path: String, format: ExportFormat, from offset: Int, limit: PageLimit) throws {
        let reader = try RecordReader(path, format: format, from: offset)
        (isPart, size) = (reader.isPart, try reader.size())
        self.reader = reader
        self.limit = limit
    }

    /// The next page; nil at the end.
    func next() throws -> RecordPage? { try reader.nextPage(limit) }

    /// See ``RecordReader/checkEnd(_:)``.
    func checkEnd(_ counts: RecordCounts) throws { try reader.checkEnd(counts) }
}
