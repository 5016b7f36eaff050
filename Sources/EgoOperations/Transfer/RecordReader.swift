import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Reads the records of an export, page by page.
struct RecordReader {
    private let file: ImportFile
    private let scratch = TransferBuffer()
    private let format: ExportFormat
    private var place: Int
    private var trailer: ExportTrailer?
    /// Whether the file says that it has a part of the journal, so that entities may begin in the middle.
    let isPart: Bool

    /// Begins where a page ended, or at the start.
    init(_ path: String, format: ExportFormat, from offset: Int) throws {
        self.file = try ImportFile(path, from: offset)
        self.format = format
        self.place = format == .jsonl && offset == 0 ? 1 : 0
        switch format {
        case .protobuf: isPart = false
        case .jsonl:
            let selection = try Self.header(offset == 0 ? file : ImportFile(path)).selection
            isPart = selection.since != nil || selection.until != nil || selection.after != nil
        }
    }

    func size() throws -> Int { try file.size() }

    private static func header(_ file: ImportFile) throws -> ExportHeader {
        let line = try file.nextLine { Data($0) } ?? Data()
        guard let header = try? JSONDecoder().decode(ExportHeader.self, from: line), header.type == "header"
        else {
            struct Format: Decodable { var format: String }
            if let other = try? JSONDecoder().decode(Format.self, from: line) {
                throw OperationError(
                    .data, "it has format \(other.format), this program reads \(ExportHeader.currentFormat)",
                    hint: "nothing was imported; use the version of ego that wrote it, or a newer one")
            }
            throw OperationError(.data, "line 1: it is no header of an export", hint: "nothing was imported")
        }
        if header.format != ExportHeader.currentFormat {
            throw OperationError(
                .data, "it has format \(header.format), this program reads \(ExportHeader.currentFormat)",
                hint: "nothing was imported; use the version of ego that wrote it, or a newer one")
        }
        return header
    }

    /// The next records, each with its line or place in the file; nil at the end.
    mutating func nextPage(_ limit: PageLimit) throws -> RecordPage? {
        var records: [(place: Int, record: ExportRecord)] = []
        let start = file.offset
        while records.count < limit.rows, file.offset - start < limit.bytes {
            place += 1
            let record: ExportRecord?
            do { record = try next() } catch let problem as ExportProblem { throw problem.error(format, at: place) }
            guard let record else { break }
            records.append((place, record))
        }
        return records.isEmpty ? nil : RecordPage(records: records, end: file.offset)
    }

    private enum Next {
        case record(ExportRecord)
        case trailer(ExportTrailer)
    }

    private mutating func next() throws -> ExportRecord? {
        switch format {
        case .jsonl:
            let next = try file.nextLine { line -> Next in
                if let end = Self.trailer(line) { return .trailer(end) }
                return .record(try ExportRecord(line: line, scratch))
            }
            switch next {
            case nil: return nil
            case .record(let record): return record
            case .trailer(let end):
                trailer = end
                if try file.nextLine({ _ in true }) != nil {
                    throw ExportProblem("something follows after the trailer")
                }
                return nil
            }
        case .protobuf:
            do {
                guard let event = try file.nextMessage({ try EgoWire.event(UnsafeRawBufferPointer($0)) }) else {
                    return nil
                }
                _ = try PersistenceID(event.persistenceID.rawValue)
                guard event.sequenceNumber > .zero, event.sequenceNumber <= .largestAdded else {
                    throw ExportProblem("its sequence number is missing or out of range")
                }
                return .event(event)
            } catch is PayloadError {
                throw ExportProblem("it is no egopb.Event")
            } catch let error as InvalidPersistenceID {
                throw ExportProblem("\(error)")
            }
        }
    }

    /// The trailer, where a line is one. Looked at by its first bytes: a record does not start with them.
    private static func trailer(_ line: UnsafeBufferPointer<UInt8>) -> ExportTrailer? {
        if line.starts(with: "{\"type\":".utf8) { return nil }
        guard let end = try? JSONDecoder().decode(ExportTrailer.self, from: Data(line)), end.type == "end" else {
            return nil
        }
        return end
    }

    /// Compares what was read with the counts of the trailer.
    func checkEnd(_ counts: RecordCounts) throws {
        guard format == .jsonl else { return }
        guard let trailer, trailer.events == counts.events, trailer.entities == counts.entities,
            trailer.snapshots == counts.snapshots, trailer.states == counts.states
        else {
            throw OperationError(
                .data, "its trailer does not match its records", hint: "nothing was imported; export it again")
        }
    }
}
