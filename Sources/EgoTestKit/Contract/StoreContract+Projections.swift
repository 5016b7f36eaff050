import EgoCore

extension StoreContract {
    private struct Refused: Error {}

    static let projectionLaws = [
        StoreLaw(5, "an offset and its read model commit together") { fixture, law in
            var store = try await fixture.makeStore()
            func advance(_ position: Int64) -> [OperatorChange] { [law.advance("p", to: position, shard: 3)] }
            _ = try await store.commit(advance(1), under: nil) { try fixture.count("n", in: $0) }
            do {
                _ = try await store.commit(advance(2), under: nil) { transaction in
                    try fixture.count("n", in: transaction)
                    throw Refused()
                }
                throw LawViolation(law: law.law, message: "a change that throws was committed")
            } catch let error as StoreError {
                try law.expect(error.cause is Refused, "the handler's error is lost: \(error)")
                try law.expectEqual(error.code, .invalid, "the error's code")
            }
            store = try await fixture.reopen(store)
            try law.expectEqual(try await fixture.counter("n", of: store), 1, "the read model after a failed commit")
            try law.expectEqual(try await law.positions(of: "p", in: store), [1], "the offset after a failed commit")
            _ = try await store.commit(advance(2), under: nil) { try fixture.count("n", in: $0) }
            store = try await fixture.reopen(store)
            try law.expectEqual(try await fixture.counter("n", of: store), 2, "the read model")
            try law.expectEqual(try await law.positions(of: "p", in: store), [2], "the offset")
        },
        StoreLaw(5, "a runner whose lease was taken over cannot commit") { fixture, law in
            let store = try await fixture.makeStore()
            let late = try await store.acquireLease("projection/p", owner: "a", for: .seconds(1), now: law.start)
            _ = try await store.commit([law.advance("p", to: 5)], under: late)
            let current = try await store.acquireLease(
                "projection/p", owner: "b", for: .seconds(1), now: law.start.advanced(by: .seconds(2)))
            try await law.expectError(.fenced, "a commit of a runner that lost its lease") {
                _ = try await store.commit([law.advance("p", to: 9)], under: late) {
                    try fixture.count("late", in: $0)
                }
            }
            try law.expectEqual(try await fixture.counter("late", of: store), 0, "the late runner's read model")
            _ = try await store.commit([law.advance("p", to: 3)], under: current)
            try law.expectEqual(try await law.positions(of: "p", in: store), [3], "the offset")
        },
        StoreLaw(5, "whoever holds a lease that is broken has to take it again") { fixture, law in
            let store = try await fixture.makeStore()
            let held = try await store.acquireLease("projection/p", owner: "a", for: .seconds(9), now: law.start)
            let counts = try await store.commit(
                [.breakLease("projection/p"), .breakLease("projection/q"), law.advance("p", to: 2)], under: nil)
            try law.expectEqual(counts, [1, 0, 1], "the numbers of changed rows")
            try await law.expectError(.fenced, "a commit under a broken lease") {
                _ = try await store.commit([law.advance("p", to: 9)], under: held)
            }
            try await law.expectError(.fenced, "renewing a broken lease") {
                _ = try await store.renew(held, for: .seconds(9), now: law.start)
            }
            try await law.expectError(.leaseHeld, "taking a broken lease of somebody else") {
                _ = try await store.acquireLease("projection/p", owner: "b", for: .seconds(9), now: law.start)
            }
            let again = try await store.acquireLease("projection/p", owner: "a", for: .seconds(9), now: law.start)
            _ = try await store.commit([law.advance("p", to: 4)], under: again)
            try law.expectEqual(try await law.positions(of: "p", in: store), [4], "the offset")
        },
        StoreLaw(5, "of two who change a projection's record one is refused") { fixture, law in
            let store = try await fixture.makeStore()
            var record = ProjectionRecord(name: "p")
            record.tables = [
                1: [ReadModelTable("balances", columns: "a text", indexes: ["a"], entityColumn: "a")],
                3: [ReadModelTable("balances", columns: "a text"), ReadModelTable("other", columns: "b text")],
            ]
            record.rebuildJob = "rebuild-1"
            record.failure = ProjectionFailure(
                message: "no, \u{1F4A5}", persistenceID: try law.id("a"), sequenceNumber: 7,
                offset: Offset(transactionID: 3, position: Position(9)), shard: Shard(2), attempts: 4,
                failedAt: law.start)
            _ = try await store.commit([.saveProjection(record)], under: nil)
            try await law.expectError(.conflict, "a second first record") {
                _ = try await store.commit([law.advance("p", to: 9), .saveProjection(record)], under: nil)
            }
            try law.expectEqual(try await law.positions(of: "p", in: store), [], "the offset beside a refused record")
            let stored = try await store.projection("p")
            record.revision = 1
            try law.expectEqual(stored, record, "the record")
            record.mode = .rebuilding
            (record.activeVersion, record.shadowVersion, record.previousVersion) = (4, 5, 3)
            record.failure = nil
            _ = try await store.commit([.saveProjection(record)], under: nil)
            try await law.expectError(.conflict, "a change of an older record") {
                _ = try await store.commit([.saveProjection(record)], under: nil)
            }
            record.revision = 2
            try law.expectEqual(try await store.projections(), [record], "the records")
        },
        StoreLaw(nil, "projections and versions are kept apart and forgotten") { fixture, law in
            let store = try await fixture.makeStore()
            _ = try await store.commit(
                [
                    .saveProjection(ProjectionRecord(name: "b")), .saveProjection(ProjectionRecord(name: "a")),
                    law.advance("b", to: 7, shard: 0), law.advance("b", to: 8, shard: 1), law.advance("a", to: 7),
                    law.advance("b", to: 2, version: 2),
                ], under: nil)
            try law.expectEqual(try await store.projections().map(\.name), ["a", "b"], "the projections")
            try law.expectEqual(try await law.positions(of: "b", in: store), [7, 8], "the offsets of b")
            try law.expectEqual(try await law.positions(of: "b", version: 2, in: store), [2], "those of version 2")
            try law.expectEqual(try await law.positions(of: "c", in: store), [], "those of one that never ran")
            try law.expectEqual(try await store.projection("c"), nil, "the record of one that never ran")
            let counts = try await store.commit([.forgetVersion(2, ofProjection: "b")], under: nil)
            try law.expectEqual(counts, [1], "the numbers of forgotten offsets")
            try law.expectEqual(try await law.positions(of: "b", in: store), [7, 8], "the offsets of b")
            _ = try await store.commit([.forgetProjection("b"), .forgetProjection("b")], under: nil)
            try law.expectEqual(try await store.projections().map(\.name), ["a"], "the projections after that")
            try law.expectEqual(try await law.positions(of: "b", in: store), [], "the offsets after that")
            try law.expectEqual(try await law.positions(of: "a", in: store), [7], "the offsets of a")
        },
        StoreLaw(nil, "dead letters are listed in order, replaced and deleted") { fixture, law in
            let store = try await fixture.makeStore()
            func letter(_ projection: String, _ position: Int64, version: Int = 1) throws -> DeadLetter {
                DeadLetter(
                    projection: projection, version: version, offset: Offset(position: Position(position)),
                    shard: Shard(1), persistenceID: try law.id("a"), sequenceNumber: 4, type: "contract.Event",
                    error: "no", attempts: 3, failedAt: law.start)
            }
            func add(_ letters: [DeadLetter], version: Int = 1) async throws {
                for letter in letters {
                    _ = try await store.commit(
                        [
                            .advance(
                                ProjectionAdvance(
                                    projection: letter.projection, version: version, offsets: [],
                                    deadLetters: [letter]))
                        ], under: nil)
                }
            }
            try await add([letter("b", 2), letter("a", 30), letter("a", 4)])
            try await add([letter("a", 1, version: 2)], version: 2)
            let all = try await store.deadLetters(DeadLetterQuery())
            try law.expectEqual(all, [try letter("a", 4), try letter("a", 30), try letter("b", 2)], "the dead letters")
            var again = try letter("a", 4)
            (again.attempts, again.error) = (9, "never")
            try await add([again])
            let first = try await store.deadLetters(DeadLetterQuery(projection: "a", limit: 1))
            try law.expectEqual(first, [again], "the first one")
            let rest = try await store.deadLetters(DeadLetterQuery(after: ("a", again.offset), limit: 9))
            try law.expectEqual(rest.map(\.offset.position.rawValue), [30, 2], "those after it")
            let other = try await store.deadLetters(DeadLetterQuery(projection: "a", version: 2))
            try law.expectEqual(other.map(\.offset.position.rawValue), [1], "those of version 2")
            let counts = try await store.commit(
                [
                    .deleteDeadLetter(of: "a", version: 1, at: again.offset),
                    .deleteDeadLetter(of: "a", version: 1, at: again.offset), .forgetVersion(2, ofProjection: "a"),
                    .forgetProjection("b"),
                ], under: nil)
            try law.expectEqual(counts, [1, 0, 1, 1], "the numbers of deleted ones")
            let left = try await store.deadLetters(DeadLetterQuery()).map(\.offset.position.rawValue)
            try law.expectEqual(left, [30], "what is left")
        },
        StoreLaw(nil, "a backlog counts what lies after each offset") { fixture, law in
            let store = try await fixture.makeStore()
            let ids = try (0..<9).map { try law.id("entity-\($0)") }
            // More than two marks' worth, in groups, so that offsets lie before, between and after them.
            let count = JournalMark.interval / 4 + 100
            for _ in 0..<count { _ = try await store.append(ids.map { law.append(1, to: $0) }) }
            let journal = try await law.events(of: store)
            try law.expectEqual(journal.count, count * ids.count, "the number of events")
            func check(_ offsets: [Shard: Offset], _ events: [PersistedEvent], _ what: String) async throws {
                let found = try await store.backlog(after: offsets)
                for backlog in found {
                    let own = events.filter { $0.shard == backlog.shard }
                    let behind = own.count { $0.offset > offsets[backlog.shard] ?? .start }
                    let name = "\(what), shard \(backlog.shard.rawValue)"
                    try law.expectEqual(backlog.events, behind, "the number of events, \(name)")
                    try law.expectEqual(backlog.head, own.last?.offset, "the head, \(name)")
                    try law.expectEqual(backlog.headTimestamp, own.last?.timestamp, "the head's time, \(name)")
                }
                try law.expectEqual(found.map(\.shard), offsets.keys.sorted(), "the shards, \(what)")
            }
            let shards = (0..<16).map { Shard($0) }
            for place in [0, 1, journal.count / 3, JournalMark.interval, journal.count - 1, journal.count] {
                let offset = place == 0 ? Offset.start : journal[place - 1].offset
                try await check(
                    Dictionary(uniqueKeysWithValues: shards.map { ($0, offset) }), journal, "after event \(place)")
            }
            var scattered: [Shard: Offset] = [:]
            for shard in shards { scattered[shard] = journal[Int(shard.rawValue) * journal.count / 16].offset }
            try await check(scattered, journal, "at scattered offsets")
            // What is deleted is not counted any more.
            _ = try await store.commit(
                [
                    .deleteEvents(of: ids[0], through: SequenceNumber(UInt64(count / 2))),
                    .deleteEvents(of: ids[1], through: SequenceNumber(UInt64(count))),
                ], under: nil)
            let rest = try await law.events(of: store)
            let start = Dictionary(uniqueKeysWithValues: shards.map { ($0, Offset.start) })
            let total = try await store.backlog(after: start).reduce(0) { $0 + $1.events }
            try law.expectEqual(total, rest.count, "the number of events after a deletion")
        },
        StoreLaw(nil, "a moment is found in the journal") { fixture, law in
            let store = try await fixture.makeStore()
            _ = try await store.append([law.append(5, to: try law.id("a"))])
            let journal = try await law.events(of: store)
            for (seconds, passed) in [(0, 0), (1, 0), (3, 2), (5, 4), (6, 5)] {
                let offset = try await store.offset(before: law.start.advanced(by: .seconds(seconds)))
                let rest = try await store.journal(after: offset, shard: nil, limit: .standard).events
                try law.expectEqual(rest, Array(journal.dropFirst(passed)), "what follows second \(seconds)")
            }
        },
        StoreLaw(nil, "what is left of an erased entity is marked in the journal") { fixture, law in
            let store = try await fixture.makeStore()
            let (erased, other) = (try law.id("a"), try law.id("b"))
            _ = try await store.append([law.append(2, to: erased), law.append(1, to: other)])
            let tombstone = Tombstone(persistenceID: erased, sequenceNumber: 2, erasedAt: law.start)
            _ = try await store.commit([.placeTombstone(tombstone)], under: nil)
            let marks = try await law.events(of: store).map(\.isErased)
            try law.expectEqual(marks, [true, true, false], "the marks")
        },
    ]

    static let deletionLaws = [
        StoreLaw(6, "deleting keeps a floor, and numbers and offsets go on") { fixture, law in
            var store = try await fixture.makeStore()
            let id = try law.id("a")
            _ = try await store.append([law.append(10, to: id)])
            let head = try await store.head()
            let deleted = try await store.commit([.deleteEvents(of: id, through: 4)], under: nil)
            try law.expectEqual(deleted, [4], "the number of deleted events")
            var info = try await store.stream(of: id)
            try law.expectEqual(info?.floor, 4, "the floor")
            try law.expectEqual(info?.last, 10, "the last sequence number")
            let rest = try await law.stream(id, of: store).map(\.sequenceNumber.rawValue)
            try law.expectEqual(rest, Array(5...10), "the rest of the stream")
            _ = try await store.commit([.deleteEvents(of: id, through: 2)], under: nil)
            try law.expectEqual(try await store.stream(of: id)?.floor, 4, "the floor after deleting less")
            _ = try await store.commit([.deleteEvents(of: id, through: .max)], under: nil)
            store = try await fixture.reopen(store)
            info = try await store.stream(of: id)
            try law.expectEqual(info?.floor, 10, "the floor of an entity without events")
            try law.expectEqual(info?.last, 10, "the last sequence number of an entity without events")
            try law.expectEqual(try await store.head(), head, "the head")
            let outcome = try await store.append([law.append(1, to: id, expecting: .exact(10))])
            guard case .appended(let last, let offset)? = outcome.first else {
                throw LawViolation(law: law.law, message: "an append after deleting gave \(outcome)")
            }
            try law.expectEqual(last, 11, "the next sequence number")
            try law.expect(offset > head, "the offset \(offset) was given before")
        }
    ]

    static let retirementLaws = [
        StoreLaw(nil, "retirement stops at legal holds and at the slowest projection") { fixture, law in
            let store = try await fixture.makeStore()
            let (held, read) = (try law.id("held"), try law.id("read"))
            _ = try await store.append([law.append(5, to: held), law.append(5, to: read)])
            let hold = LegalHold(persistenceID: held, reason: "court", placedAt: law.start)
            let third = try await law.stream(read, of: store)[2]
            for (projection, offset) in [("slow", third.offset), ("fast", try await store.head())] {
                let committed = CommittedOffset(shard: third.shard, offset: offset, committedAt: law.start)
                let advance = ProjectionAdvance(projection: projection, version: 1, offsets: [committed])
                _ = try await store.commit([.advance(advance)], under: nil)
            }
            let snapshot = StoredSnapshot(
                persistenceID: held, sequenceNumber: 1, timestamp: law.start, payload: law.event(1).payload)
            let counts = try await store.commit(
                [
                    .placeHold(hold), .saveSnapshot(snapshot), .retireEvents(of: held, through: 5),
                    .retireSnapshots(of: held, through: 5), .retireEvents(of: read, through: 5),
                ], under: nil)
            try law.expectEqual(counts, [1, 1, 0, 0, 3], "the numbers of changed rows")
            try law.expectEqual(try await store.stream(of: read)?.floor, 3, "the floor of the entity that is read")
            try law.expectEqual(try await store.stream(of: held)?.floor, 0, "the floor of the entity under hold")
            let rest = try await store.commit(
                [
                    .releaseHold(of: held), .retireSnapshots(of: held, through: 5), .retireEvents(of: read, through: 2),
                ], under: nil)
            try law.expectEqual(rest, [1, 1, 0], "the numbers of changed rows after the release")
        }
    ]

    static let commandLaws = [
        StoreLaw(7, "a command takes effect once") { fixture, law in
            var store = try await fixture.makeStore()
            let (a, b) = (try law.id("a"), try law.id("b"))
            let command = try law.command("pay-1")
            _ = try await store.append([law.append(1, to: a)])
            _ = try await store.append([law.append(2, to: a, command: command)])
            let record = CommandRecord(commandID: command, before: 1, after: 3)
            for version: ExpectedVersion in [.any, .exact(1), .exact(3)] {
                let outcome = try await store.append([law.append(2, to: a, expecting: version, command: command)])
                try law.expectEqual(outcome, [.duplicate(record)], "a retry that expects \(version)")
            }
            store = try await fixture.reopen(store)
            let outcome = try await store.append([law.append(2, to: a, command: command)])
            try law.expectEqual(outcome, [.duplicate(record)], "a retry after a crash")
            try law.expectEqual(try await law.stream(a, of: store).count, 3, "the number of events")
            try law.expectEqual(try await store.command(command, of: a), record, "the command's record")
            try law.expectEqual(try await store.command(command, of: b), nil, "the command's record elsewhere")
            guard case .appended? = try await store.append([law.append(1, to: b, command: command)]).first else {
                throw LawViolation(law: law.law, message: "another entity's command of the same ID was refused")
            }
        },
        StoreLaw(7, "a command that had no effect is remembered too") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            let command = try law.command("noop")
            _ = try await store.append([law.append(1, to: id)])
            _ = try await store.append([law.append(0, to: id, expecting: .exact(1), command: command)])
            let outcome = try await store.append([law.append(2, to: id, command: command)])
            try law.expectEqual(
                outcome, [.duplicate(CommandRecord(commandID: command, before: 1, after: 1))], "a retry")
            try law.expectEqual(try await law.stream(id, of: store).count, 1, "the number of events")
        },
        StoreLaw(7, "a conflict does not use a command ID up") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            let command = try law.command("c")
            _ = try await store.append([law.append(1, to: id)])
            _ = try await store.append([law.append(1, to: id, expecting: .noStream, command: command)])
            try law.expectEqual(try await store.command(command, of: id), nil, "the record after a conflict")
            _ = try await store.append([law.append(1, to: id)])
            for stale: ExpectedVersion in [.noStream, .exact(1), .exact(3)] {
                let outcome = try await store.append([law.append(0, to: id, expecting: stale, command: command)])
                try law.expectEqual(outcome, [.conflict(actual: 2)], "a command without events that expects \(stale)")
                try law.expectEqual(try await store.command(command, of: id), nil, "the record after that")
            }
            let outcomes = try await store.append([
                law.append(1, to: id, expecting: .exact(2), command: command),
                law.append(1, to: id, expecting: .exact(3), command: command),
            ])
            guard case .appended? = outcomes.first, case .duplicate? = outcomes.last else {
                throw LawViolation(law: law.law, message: "twice the same command in a group gave \(outcomes)")
            }
        },
        StoreLaw(7, "a durable state's command takes effect once") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("d")
            let command = try law.command("c")
            func write(_ version: SequenceNumber) -> StateWrite {
                StateWrite(
                    persistenceID: id, expectedVersion: version, timestamp: law.start, payload: law.event(1).payload,
                    metadata: EventMetadata(commandID: command))
            }
            _ = try await store.save([write(0)])
            let outcome = try await store.save([write(1)])
            try law.expectEqual(
                outcome, [.duplicate(CommandRecord(commandID: command, before: 0, after: 1))], "a retry")
            try law.expectEqual(try await store.state(of: id)?.version, 1, "the version")
        },
    ]
}

extension LawContext {
    fileprivate func advance(
        _ projection: String, to position: Int64, shard: UInt64 = 0, version: Int = 1
    ) -> OperatorChange {
        .advance(
            ProjectionAdvance(
                projection: projection, version: version,
                offsets: [
                    CommittedOffset(
                        shard: Shard(shard), offset: Offset(position: Position(position)), committedAt: start,
                        eventTimestamp: start)
                ]))
    }

    fileprivate func positions(
        of projection: String, version: Int = 1, in store: any Store
    ) async throws -> [Int64] {
        try await store.offsets(of: projection, version: version).map(\.offset.position.rawValue)
    }

    /// The journal in large pages.
    fileprivate func events(of store: any Store) async throws -> [PersistedEvent] {
        var all: [PersistedEvent] = []
        var next = Offset.start
        while true {
            let page = try await store.journal(after: next, shard: nil, limit: .standard)
            all += page.events
            if page.reachedHead { return all }
            next = page.next
        }
    }
}
