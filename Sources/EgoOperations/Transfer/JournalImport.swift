import Crypto
public import EgoCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Takes an exported journal into a store: first the whole file is checked, then its records are committed page by page.
public struct JournalImport: Sendable {
    /// What to do with an event that the store has already.
    public enum OnConflict: String, Sendable, CaseIterable {
        /// Take nothing of the file.
        case fail
        /// Leave it as it is in the store.
        case skip
    }

    private let store: any Store
    private let format: ExportFormat
    private let onConflict: OnConflict
    private let page: PageLimit

    /// An import into a store.
    public init(store: any Store, format: ExportFormat, onConflict: OnConflict, page: PageLimit = .standard) {
        self.store = store
        self.format = format
        self.onConflict = onConflict
        self.page = page
    }

    /// What is in a file, or what was taken from it.
    public struct Summary: Sendable, Hashable, Codable {
        /// Events that were written.
        public var events = 0
        /// Events that were there already, and left alone.
        public var skipped = 0
        /// Of those, events that are not the same in the store.
        public var differing = 0
        /// Events of entities that were erased in this store, and stay so.
        public var erased = 0
        /// Entities whose kind was recorded, or that were erased in the store that the file is from.
        public var entities = 0
        /// Snapshots that were written.
        public var snapshots = 0
        /// Durable states that were written.
        public var states = 0
        /// SHA-256 of the file, in hexadecimal.
        public var sha256 = ""
        /// Whether the file's checksum was there to be compared.
        public var isChecked = false

        /// Nothing yet.
        public init() {}

        /// Whether anything was written.
        public var hasChanges: Bool { events + entities + snapshots + states > 0 }
    }

    private struct Checkpoint: Codable, Sendable {
        var bytes = 0
        var summary = Summary()
    }

    /// Guards a store against two imports at once.
    private static let lease = "import"

    // MARK: Check

    /// Reads the whole file and checks it, and that its events can follow what is in the store. Changes nothing.
    ///
    /// - Returns: how many records it has, and its checksum.
    /// - Throws: ``OperationError/Code/data`` for a file that is truncated, damaged, out of order or of another version,
    ///   naming the line; ``OperationError/Code/refused`` for an event that the store has, with ``OnConflict/fail``.
    public func check(
        _ path: String, progress: @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws -> Summary {
        let sum = try TransferChecksum(path, format: format)
        var reader = try RecordReader(path, format: format, from: 0)
        var summary = Summary()
        (summary.sha256, summary.isChecked) = (sum.sha256, sum.isChecked)
        let size = try reader.size()
        let isEmpty = try await store.statistics().entities == 0
        let started = try await startedJob(summary.sha256)
        var order = OrderCheck()
        while let records = try reader.nextPage(page) {
            try Task.checkCancellation()
            var heads: [PersistenceID: SequenceNumber] = [:]
            for (place, record) in records {
                guard case .event(let event) = record else {
                    summary.count(record)
                    continue
                }
                try reader.blame(place) { try order.check(event) }
                summary.events += 1
                if isEmpty || started || onConflict == .skip { continue }
                let id = event.persistenceID
                if heads[id] == nil { heads[id] = try await store.stream(of: id)?.last ?? .zero }
                if event.sequenceNumber <= heads[id] ?? .zero {
                    throw OperationError(
                        .refused, "the store has its event \(event.sequenceNumber) already",
                        hint: "nothing was imported; --on-conflict skip leaves such events as they are",
                        persistenceID: id)
                }
            }
            progress(reader.offset, size)
        }
        try reader.checkEnd(summary)
        return summary
    }

    private func startedJob(_ sha256: String) async throws -> Bool {
        let arguments = try JobText.encode(arguments(sha256))
        return try await store.jobs().contains { $0.kind == "import" && $0.arguments == arguments }
    }

    private func arguments(_ sha256: String) -> [String: String] {
        ["sha256": sha256, "format": format.rawValue, "on_conflict": onConflict.rawValue]
    }

    // MARK: Import

    /// Takes the records of a file that was checked, as a job: each page is committed whole together with the job's
    /// checkpoint.
    ///
    /// A file that was imported completely before is left alone.
    ///
    /// - Parameter checked: what ``check(_:progress:)`` gave.
    /// - Throws: ``OperationError``, ``FileError``, `StoreError`, ``JobInterrupted``.
    public func run(
        _ path: String, _ checked: Summary, command: String, by person: Operator, time: any TimeSource,
        progress: @escaping @Sendable (Int, Int) -> Void = { _, _ in }
    ) async throws -> Summary {
        let specification = JobSpecification(
            kind: "import", arguments: arguments(checked.sha256), lease: Self.lease, command: command)
        let arguments = try JobText.encode(specification.arguments)
        let isDone = try await store.jobs().contains {
            $0.kind == "import" && $0.arguments == arguments && $0.state == .done
        }
        if isDone {
            var summary = Summary()
            (summary.skipped, summary.sha256, summary.isChecked) = (checked.events, checked.sha256, checked.isChecked)
            return summary
        }
        return try await JobRun<Checkpoint>.run(
            specification, on: store, by: person, time: time, from: { Checkpoint() }
        ) { job in
            var checkpoint = await job.checkpoint
            (checkpoint.summary.sha256, checkpoint.summary.isChecked) = (checked.sha256, checked.isChecked)
            var reader = try RecordReader(path, format: format, from: checkpoint.bytes)
            let size = try reader.size()
            while let records = try reader.nextPage(page) {
                try Task.checkCancellation()
                let changes = try await changes(records.map(\.record), &checkpoint.summary)
                checkpoint.bytes = reader.offset
                do throws(any Error) {
                    _ = try await job.commit(changes, checkpoint: checkpoint)
                } catch {
                    throw Self.explain(error)
                }
                progress(reader.offset, size)
            }
            _ = try await job.finish(result: try JobText.encode(checkpoint.summary))
            return checkpoint.summary
        }
    }

    /// What a page of records changes in this store.
    private func changes(_ records: [ExportRecord], _ summary: inout Summary) async throws -> [OperatorChange] {
        var events: [PersistedEvent] = []
        var others: [OperatorChange] = []
        var heads: [PersistenceID: StreamInfo] = [:]
        for record in records {
            switch record {
            case .event(let event):
                let id = event.persistenceID
                if heads[id] == nil {
                    heads[id] =
                        try await store.stream(of: id) ?? StreamInfo(last: 0, floor: 0, kind: nil, isErased: false)
                }
                guard let head = heads[id] else { continue }
                if head.isErased {
                    summary.erased += 1
                } else if event.sequenceNumber > head.last {
                    events.append(event)
                    summary.events += 1
                } else if onConflict == .skip {
                    summary.skipped += 1
                    if try await !isSame(event) { summary.differing += 1 }
                } else {
                    throw OperationError(
                        .refused, "the store has its event \(event.sequenceNumber) already",
                        hint: "pages before it were imported; --on-conflict skip goes on", persistenceID: id)
                }
            case .entity(let entity):
                if let erasedAt = entity.erasedAt, try await store.tombstone(of: entity.id) == nil {
                    others.append(
                        .placeTombstone(
                            Tombstone(
                                persistenceID: entity.id, sequenceNumber: entity.sequenceNumber, erasedAt: erasedAt)))
                    summary.entities += 1
                }
                if let kind = entity.kind, try await store.stream(of: entity.id)?.kind == nil {
                    others.append(.recordKind(kind, of: entity.id))
                    summary.entities += 1
                }
            case .snapshot(let snapshot):
                let id = snapshot.persistenceID
                let there = try await store.latestSnapshot(of: id, through: snapshot.sequenceNumber)
                if there?.sequenceNumber == snapshot.sequenceNumber { continue }
                others.append(.saveSnapshot(snapshot))
                summary.snapshots += 1
            case .state(let state):
                if try await store.state(of: state.persistenceID) != nil { continue }
                others.append(.addState(state))
                summary.states += 1
            }
        }
        // A durable state makes its entity, whose kind is recorded with what stands before it in the file.
        let (kinds, rest) = (others.filter(\.isKind), others.filter { !$0.isKind })
        return (events.isEmpty ? [] : [.addEvents(events)]) + rest + kinds
    }

    private func isSame(_ event: PersistedEvent) async throws -> Bool {
        let number = event.sequenceNumber
        let stored = try await store.events(
            of: event.persistenceID, from: number, through: number, limit: PageLimit(rows: 1)
        ).first
        // What was trimmed here cannot be compared.
        guard let stored else { return true }
        return stored.payload == event.payload && stored.timestamp == event.timestamp
    }

    /// A page that does not fit says so as a matter of the file, not of a lock.
    private static func explain(_ error: any Error) -> any Error {
        guard let error = error as? StoreError, error.code == .conflict else { return error }
        return OperationError(
            .data, error.message, hint: "nothing of this page was imported; pages before it were")
    }
}

extension OperatorChange {
    fileprivate var isKind: Bool {
        if case .recordKind = self { return true }
        return false
    }
}

extension JournalImport.Summary {
    fileprivate mutating func count(_ record: ExportRecord) {
        switch record {
        case .event: events += 1
        case .entity: entities += 1
        case .snapshot: snapshots += 1
        case .state: states += 1
        }
    }
}

/// Checks that each entity's events are in order and without gaps within a file.
private struct OrderCheck {
    /// The last number of an entity, by a hash of its ID: memory stays within 64 MB. Of stores with more entities than
    /// that the rest is checked when its page is committed.
    private var last: [UInt64: UInt64] = [:]
    private static let limit = 1_000_000

    mutating func check(_ event: PersistedEvent) throws(ExportProblem) {
        let key = Shard(of: event.persistenceID, count: .max).rawValue
        let number = event.sequenceNumber.rawValue
        if let before = last[key], number != before + 1 {
            throw ExportProblem(
                "event \(number) of \(event.persistenceID.rawValue) follows event \(before): the file is out of order")
        }
        if last[key] != nil || last.count < Self.limit { last[key] = number }
    }
}

/// The checksum of a file, and whether it is the one that the export wrote.
private struct TransferChecksum {
    var sha256: String
    var isChecked: Bool

    init(_ path: String, format: ExportFormat) throws {
        var whole = SHA256()
        switch format {
        case .jsonl:
            // The trailer's own line is not part of the sum that it holds.
            let file = try ImportFile(path)
            var last: [UInt8] = []
            var before = SHA256()
            do {
                while let line = try file.nextLine() {
                    before.update(data: last)
                    last = Array(line) + [0x0a]
                    whole.update(data: last)
                }
            } catch let problem as ExportProblem {
                throw OperationError(.data, problem.message, hint: "nothing was imported")
            }
            guard let trailer = try? JSONDecoder().decode(ExportTrailer.self, from: Data(last)),
                trailer.type == "end"
            else {
                throw OperationError(
                    .data, "its last line is no trailer: the file is truncated, or no export",
                    hint: "nothing was imported")
            }
            guard trailer.sha256 == Hexadecimal.text(before.finalize()) else {
                throw OperationError(
                    .data, "its content does not match its checksum: it was damaged or edited",
                    hint: "nothing was imported; export it again")
            }
            isChecked = true
        case .protobuf:
            let file = try ImportFile(path)
            while let block = try file.nextBlock() { whole.update(data: block) }
            isChecked = false
        }
        sha256 = Hexadecimal.text(whole.finalize())
        if format == .protobuf, let data = FileManager.default.contents(atPath: path + ".sha256") {
            let expected = String(decoding: data.prefix(64), as: UTF8.self)
            guard expected == sha256 else {
                throw OperationError(
                    .data, "its content does not match \(path).sha256: it was damaged or edited",
                    hint: "nothing was imported; export it again")
            }
            isChecked = true
        }
    }
}

/// Reads the records of an export, page by page.
private struct RecordReader {
    private let file: ImportFile
    private let format: ExportFormat
    private var place: Int
    private var trailer: ExportTrailer?

    var offset: Int { file.offset }

    /// Begins at a place that ``offset`` gave, or at the start.
    init(_ path: String, format: ExportFormat, from offset: Int) throws {
        self.file = try ImportFile(path, from: offset)
        self.format = format
        self.place = 0
        if format == .jsonl, offset == 0 { try readHeader() }
    }

    func size() throws -> Int { try file.size() }

    private mutating func readHeader() throws {
        let line = try file.nextLine() ?? []
        place = 1
        guard let header = try? JSONDecoder().decode(ExportHeader.self, from: Data(line)), header.type == "header"
        else {
            struct Format: Decodable { var format: String }
            if let other = try? JSONDecoder().decode(Format.self, from: Data(line)) {
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
    }

    /// The next records, each with its line or place in the file; nil at the end.
    mutating func nextPage(_ limit: PageLimit) throws -> [(place: Int, record: ExportRecord)]? {
        var records: [(place: Int, record: ExportRecord)] = []
        let start = file.offset
        while records.count < limit.rows, file.offset - start < limit.bytes {
            place += 1
            let record: ExportRecord? = try blame(place) { try next() }
            guard let record else { break }
            records.append((place, record))
        }
        return records.isEmpty ? nil : records
    }

    private mutating func next() throws -> ExportRecord? {
        switch format {
        case .jsonl:
            guard let line = try file.nextLine() else { return nil }
            if let end = Self.trailer(line) {
                trailer = end
                if try file.nextLine() != nil { throw ExportProblem("something follows after the trailer") }
                return nil
            }
            return try ExportRecord(line: line)
        case .protobuf:
            guard let message = try file.nextMessage() else { return nil }
            do {
                let event = try EgoWire.event(Array(message))
                _ = try PersistenceID(event.persistenceID.rawValue)
                guard event.sequenceNumber > .zero else { throw ExportProblem("it has no sequence number") }
                return .event(event)
            } catch is PayloadError {
                throw ExportProblem("it is no egopb.Event")
            } catch let error as InvalidPersistenceID {
                throw ExportProblem("\(error)")
            }
        }
    }

    /// The trailer, where a line is one. Looked at by its first bytes: a record does not start with them.
    private static func trailer(_ line: ArraySlice<UInt8>) -> ExportTrailer? {
        if line.starts(with: "{\"type\":".utf8) { return nil }
        guard let end = try? JSONDecoder().decode(ExportTrailer.self, from: Data(line)), end.type == "end" else {
            return nil
        }
        return end
    }

    /// Names the place of a problem.
    func blame<Value>(_ place: Int, _ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let problem as ExportProblem {
            let what = format == .jsonl ? "line" : "message"
            throw OperationError(.data, "\(what) \(place): \(problem.message)", hint: "nothing was imported")
        }
    }

    /// Compares what was read with the counts of the trailer.
    func checkEnd(_ summary: JournalImport.Summary) throws {
        guard format == .jsonl else { return }
        guard let trailer, trailer.events == summary.events, trailer.entities == summary.entities,
            trailer.snapshots == summary.snapshots, trailer.states == summary.states
        else {
            throw OperationError(
                .data, "its trailer does not match its records", hint: "nothing was imported; export it again")
        }
    }
}
