import Ego
public import EgoCore

/// Checks the whole of a store, or some entities of it: storage, journal, snapshots, offsets and audit log.
///
/// Reads everything in pages; memory does not grow with the store.
public actor Verification {
    /// Something wrong, and what to do about it.
    public struct Finding: Sendable, Hashable {
        /// What is wrong.
        public enum Kind: String, Sendable, CaseIterable {
            case storage
            case sequenceGap = "sequence_gap"
            case positionOrder = "position_order"
            case undecodablePayload = "undecodable_payload"
            case unknownType = "unknown_type"
            case orphanSnapshot = "orphan_snapshot"
            case snapshotMismatch = "snapshot_mismatch"
            case snapshotAhead = "snapshot_ahead"
            case offsetAheadOfHead = "offset_ahead_of_head"
            case auditChain = "audit_chain"
            case erasureIncomplete = "erasure_incomplete"
            case wrongShard = "wrong_shard"
        }

        /// What is wrong.
        public var kind: Kind
        /// The entity, or the projection of an offset; nil where it is about the whole store.
        public var id: String?
        /// The event, snapshot or audit record; nil where there is none.
        public var sequenceNumber: UInt64?
        /// What is wrong, in a sentence.
        public var message: String
        /// What to do about it.
        public var remedy: String
    }

    /// How much was looked at.
    public struct Checked: Sendable, Hashable {
        /// Entities.
        public var entities = 0
        /// Events.
        public var events = 0
        /// Snapshots.
        public var snapshots = 0
        /// Committed offsets.
        public var offsets = 0
        /// Records of the audit log.
        public var auditRecords = 0
    }

    private enum Stage { case storage, entities, offsets, audit, done }

    private let store: any Store
    private let domain: Domain
    private let page: PageLimit
    private let progress: @Sendable (Int) -> Void
    private var stage: Stage
    private var waiting: [PersistenceID]
    private let isWhole: Bool
    private var after: PersistenceID?
    private var found: [Finding] = []
    /// The entity that is being checked.
    private var current: PersistenceID?
    private var shardCount: UInt32?
    /// Whether each event has a place of its own in the journal; without adoption its timestamp stands for it.
    private var isOrdered = true
    /// How much was looked at so far.
    public private(set) var checked = Checked()
    /// How many findings there were so far.
    public private(set) var findings = 0
    /// Entities whose snapshots could not be compared, because no behavior is there for them.
    public private(set) var unfolded = 0

    /// A check.
    ///
    /// - Parameters:
    ///   - ids: the entities to look at, and nothing else; empty for the whole store.
    ///   - progress: called with the number of events so far.
    public init(
        store: any Store, domain: Domain, ids: [PersistenceID] = [], page: PageLimit = .standard,
        progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.store = store
        self.domain = domain
        self.page = page
        self.progress = progress
        self.waiting = ids
        self.isWhole = ids.isEmpty
        self.stage = ids.isEmpty ? .storage : .entities
    }

    /// The next findings; nil when everything was looked at.
    ///
    /// - Throws: `StoreError` when the store cannot be read at all, ``OperationError/Code/notFound`` for an entity that
    ///   was named and is not there, `CancellationError` between entities.
    public func nextPage() async throws -> [Finding]? {
        while stage != .done {
            try Task.checkCancellation()
            do { try await step() } catch let error as StoreError where error.code == .corrupt {
                damaged(error)
            }
            if !found.isEmpty {
                defer { found = [] }
                findings += found.count
                return found
            }
        }
        return nil
    }

    private func step() async throws {
        switch stage {
        case .storage:
            let metadata = try await store.metadata()
            isOrdered = metadata.schemaVersion > 0
            // Stores of other software have shards of their own.
            if metadata.origin == .ego { shardCount = metadata.shardCount }
            found += try await store.flaws(isThorough: true).map { flaw in
                Finding(kind: .storage, message: flaw.message, remedy: flaw.remedy)
            }
            stage = .entities
        case .entities:
            if waiting.isEmpty, isWhole { try await fetch() }
            if waiting.isEmpty {
                stage = isWhole ? .offsets : .done
            } else {
                let id = waiting.removeFirst()
                current = id
                try await check(id)
                current = nil
            }
        case .offsets:
            try await checkOffsets()
            stage = .audit
        case .audit:
            let verdict = try await AuditLog(store: store).verify()
            checked.auditRecords = verdict.records
            found += verdict.problems.map { problem in
                Finding(
                    kind: .auditChain, sequenceNumber: problem.number,
                    message: "audit record \(problem.number): \(problem.message)",
                    remedy: "compare with a backup: the log was changed outside of ego")
            }
            stage = .done
        case .done: break
        }
    }

    /// What cannot be read is a finding, and does not hide the rest.
    private func damaged(_ error: StoreError) {
        found.append(
            Finding(
                kind: .storage, id: current?.rawValue, message: error.message,
                remedy: "restore a backup, or save what can be read with ego export"))
        switch stage {
        case .storage: stage = .entities
        case .entities:
            // Without an entity it was the list of them that could not be read.
            if current == nil { stage = isWhole ? .offsets : .done }
        case .offsets: stage = .audit
        case .audit, .done: stage = .done
        }
        current = nil
    }

    private func fetch() async throws {
        current = nil
        let entities = try await store.entities(EntityQuery(after: after, limit: 1_000))
        after = entities.last?.persistenceID ?? after
        waiting = entities.map(\.persistenceID)
    }

    // MARK: One entity

    /// Checks an entity; once more when it was written meanwhile, so that a store at work is not blamed for it.
    private func check(_ id: PersistenceID) async throws {
        let start = (found, checked, unfolded)
        let resolver = EntityResolver(store: store, domain: domain)
        guard var record = isWhole ? try await resolver.record(id) : try await resolver.existing(id) else {
            // It was listed: its events have numbers that no entity has, or it was deleted meanwhile.
            if try await store.entities(EntityQuery(prefix: id.rawValue, limit: 1)).first?.persistenceID == id {
                report(
                    .sequenceGap, id, nil, "its events have numbers below 1",
                    "whoever inserted them did not append: delete them, or restore a backup")
            }
            return
        }
        for _ in 0..<5 {
            (found, checked, unfolded) = start
            checked.entities += 1
            try await check(record)
            if found.count == start.0.count { return }
            let now = try await EntityResolver(store: store, domain: domain).existing(id)
            if now.stream == record.stream, now.state == record.state { return }
            record = now
        }
    }

    private func check(_ record: EntityRecord) async throws {
        let id = record.persistenceID
        if record.stream.isErased {
            try await checkErasure(of: id)
            return
        }
        var isReadable = try await checkEvents(of: record)
        let snapshots = try await checkSnapshots(of: record)
        if let state = record.state { isReadable = check(state) && isReadable }
        // Folding what cannot be read would only say the same again.
        if isReadable, snapshots > 0 { try await compareSnapshots(of: id) }
    }

    /// Nothing may be left of an erased entity.
    private func checkErasure(of id: PersistenceID) async throws {
        let events = try await store.events(of: id, from: 1, through: .max, limit: PageLimit(rows: 1))
        let snapshots = try await store.snapshots(of: id, from: 0, limit: PageLimit(rows: 1))
        // Records that were kept are unreadable: encrypted, and their keys are gone.
        var left = events.allSatisfy(\.isEncrypted) ? [] : ["events"]
        if !snapshots.allSatisfy(\.isEncrypted) { left.append("snapshots") }
        if let state = try await store.state(of: id), !state.isEncrypted { left.append("a durable state") }
        if try await store.keys(of: id).count > 0 { left.append("keys") }
        if try await store.deadLetterCount(of: id) > 0 { left.append("dead letters") }
        if left.isEmpty { return }
        report(
            .erasureIncomplete, id, nil, "it was erased, and \(left.joined(separator: " and ")) are left",
            "erase it again")
    }

    /// How far the check of an entity's events has come.
    private struct Cursor {
        var last: SequenceNumber
        var offset = Offset.start
    }

    /// Whether all events are there and can be read.
    private func checkEvents(of record: EntityRecord) async throws -> Bool {
        let id = record.persistenceID
        let before = found.count
        var cursor = Cursor(last: record.stream.floor)
        var events = try await store.events(of: id, from: cursor.last.next, through: .max, limit: page)
        while !events.isEmpty {
            try Task.checkCancellation()
            check(events, &cursor)
            if cursor.last == .max { break }
            events = try await store.events(of: id, from: cursor.last.next, through: .max, limit: page)
        }
        if cursor.last < record.stream.last {
            report(
                .sequenceGap, id, record.stream.last,
                "its last events, \(cursor.last.next) to \(record.stream.last), are missing",
                "restore them from a backup or an export")
        }
        return found.count == before
    }

    /// Checks a page of an entity's events.
    private func check(_ events: [PersistedEvent], _ cursor: inout Cursor) {
        for event in events {
            let (id, number) = (event.persistenceID, event.sequenceNumber)
            if number != cursor.last.next {
                let isOne = cursor.last.next.next == number
                report(
                    .sequenceGap, id, number,
                    isOne
                        ? "event \(cursor.last.next) is missing"
                        : "events \(cursor.last.next) to \(number.rawValue - 1) are missing",
                    "restore them from a backup or an export: nothing recorded that they were deleted")
            }
            if isOrdered ? event.offset <= cursor.offset : event.offset < cursor.offset {
                report(
                    .positionOrder, id, number,
                    isOrdered
                        ? "its position \(event.offset) is not after that of the event before"
                        : "it is older than the event before",
                    isOrdered
                        ? "rebuild the projections; whoever inserted it did not append"
                        : "the clocks of its writers differ: projections that count in timestamps miss such events")
            }
            if let shardCount, event.shard != Shard(of: id, count: shardCount) {
                report(
                    .wrongShard, id, number,
                    "it is in shard \(event.shard.rawValue), its entity belongs to \(Shard(of: id, count: shardCount).rawValue)",
                    "export the store and import it into a new one: projections read it in the wrong shard")
            }
            cursor = Cursor(last: number, offset: event.offset)
            check(event)
        }
        checked.events += events.count
        progress(checked.events)
    }

    private func check(_ event: PersistedEvent) {
        let (id, number) = (event.persistenceID, event.sequenceNumber)
        if !event.unknownFields.isEmpty, (try? event.inlineState()) == nil {
            report(
                .undecodablePayload, id, number, "its inline state of eGo v3 is empty or no google.protobuf.Any",
                "the event itself is whole; eGo for Go v3 cannot recover the entity from it, Ego can")
        }
        do throws(PayloadError) {
            if event.isDamaged { throw .damaged }
            if event.isEncrypted, domain.reader.decryptor == nil {
                _ = try AnyPayload(serialized: event.payload)
            } else if domain.kinds.isEmpty {
                _ = try AnyPayload(serialized: event.payload)
            } else {
                _ = try domain.messages.decode(try domain.reader.payload(of: event))
            }
        } catch {
            if case .unknownType(let type) = error {
                report(
                    .unknownType, id, number, "the domain knows no message \(type)",
                    "link the domain that wrote it, or add an event adapter for it")
            } else {
                report(
                    .undecodablePayload, id, number, "\(error)",
                    "restore the event from a backup or an export")
            }
        }
    }

    /// Whether the durable state can be read.
    private func check(_ state: StoredState) -> Bool {
        do throws(PayloadError) {
            if state.isDamaged { throw .damaged }
            if state.isEncrypted, domain.reader.decryptor == nil {
                _ = try AnyPayload(serialized: state.payload)
                return true
            }
            let payload = try domain.reader.clear(state)
            if !domain.kinds.isEmpty { _ = try domain.messages.decode(payload) }
            return true
        } catch {
            let isUnknown = if case .unknownType = error { true } else { false }
            report(
                isUnknown ? .unknownType : .undecodablePayload, state.persistenceID, state.version,
                "its durable state: \(error)",
                isUnknown ? "link the domain that wrote it" : "restore the state from a backup or an export")
            return false
        }
    }

    /// Looks at what snapshots there are; returns how many can be compared with a fold.
    private func checkSnapshots(of record: EntityRecord) async throws -> Int {
        let id = record.persistenceID
        var next = SequenceNumber.zero
        var count = 0
        while true {
            let snapshots = try await store.snapshots(of: id, from: next, limit: page)
            guard let final = snapshots.last else { return count }
            for snapshot in snapshots {
                let number = snapshot.sequenceNumber
                if record.stream.last == .zero {
                    report(
                        .orphanSnapshot, id, number, "there is a snapshot, but never was an event",
                        "delete it: ego snapshot delete")
                } else if number > record.stream.last {
                    report(
                        .snapshotAhead, id, number, "the snapshot is ahead of the last event, \(record.stream.last)",
                        "delete it: ego snapshot delete")
                } else if snapshot.isDamaged {
                    report(
                        .snapshotMismatch, id, number, "\(PayloadError.damaged)",
                        "delete it, ego snapshot delete, or restore it from a backup where its events were deleted")
                } else {
                    count += 1
                }
            }
            checked.snapshots += snapshots.count
            next = final.sequenceNumber.next
        }
    }

    private func compareSnapshots(of id: PersistenceID) async throws {
        if domain.kinds.isEmpty {
            unfolded += 1
            return
        }
        do {
            for mismatch in try await Replay(store: store, domain: domain, page: page).verify(id)
            where !mismatch.isAhead && !isReported(mismatch) {
                report(
                    .snapshotMismatch, id, mismatch.sequenceNumber, mismatch.message,
                    "delete it, ego snapshot delete, unless the behavior has changed on purpose")
            }
        } catch is DomainError {
            unfolded += 1  // no behavior, or several that could be meant
        } catch let error as OperationError {
            report(.sequenceGap, id, nil, error.message, "restore the events or a snapshot from a backup")
        } catch let error as EgoError {
            if let cause = error.cause as? StoreError { throw cause }
            switch error.cause as? FoldError {
            case .undecodable(_, .encrypted)?, .undecodable(_, .locked)?:
                unfolded += 1  // the key is not here
                return
            default: break
            }
            report(.undecodablePayload, id, nil, error.message, "restore the event from a backup or an export")
        }
    }

    private func isReported(_ mismatch: SnapshotMismatch) -> Bool {
        found.contains {
            $0.kind == .snapshotMismatch && $0.id == mismatch.persistenceID.rawValue
                && $0.sequenceNumber == mismatch.sequenceNumber.rawValue
        }
    }

    // MARK: Offsets

    private func checkOffsets() async throws {
        for offset in try await store.timestampOffsets() {
            guard let stored = offset.stored else { continue }
            checked.offsets += 1
            if let head = offset.storedHead, stored > head {
                found.append(
                    Finding(
                        kind: .offsetAheadOfHead, id: offset.projection,
                        message: "projection \(offset.projection) of eGo for Go, shard \(offset.shard.rawValue): "
                            + "the timestamp \(stored) is past the shard's newest event, \(head)",
                        remedy: "it will miss events until the clock has passed it: reset it"))
            }
        }
        for projection in try await store.projections() {
            let offsets = try await store.offsets(of: projection.name, version: projection.activeVersion)
            let head = try await store.head()  // after the offsets: what is committed meanwhile moves it on
            checked.offsets += offsets.count
            for committed in offsets where committed.offset > head {
                found.append(
                    Finding(
                        kind: .offsetAheadOfHead, id: projection.name,
                        message: "projection \(projection.name), shard \(committed.shard.rawValue): "
                            + "the offset \(committed.offset) is past the head, \(head)",
                        remedy: "it will miss events: rebuild it, or reset it to the head"))
            }
        }
    }

    private func report(
        _ kind: Finding.Kind, _ id: PersistenceID, _ number: SequenceNumber?, _ message: String, _ remedy: String
    ) {
        found.append(
            Finding(
                kind: kind, id: id.rawValue, sequenceNumber: number?.rawValue, message: message, remedy: remedy))
    }
}
