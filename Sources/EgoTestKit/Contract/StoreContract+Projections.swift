import EgoCore

extension StoreContract {
    private struct Refused: Error {}

    static let projectionLaws = [
        StoreLaw(5, "an offset and its read model commit together") { fixture, law in
            var store = try await fixture.makeStore()
            func commit(_ position: Int64) -> OffsetCommit {
                OffsetCommit(
                    projection: "p",
                    committed: CommittedOffset(
                        shard: Shard(3), offset: Offset(position: Position(position)), generation: 1,
                        timestamp: law.start))
            }
            try await store.commit(commit(1)) { try fixture.count("n", in: $0) }
            do {
                try await store.commit(commit(2)) { transaction in
                    try fixture.count("n", in: transaction)
                    throw Refused()
                }
                throw LawViolation(law: law.law, message: "a change that throws was committed")
            } catch let error as StoreError {
                try law.expect(error.cause is Refused, "the handler's error is lost: \(error)")
            }
            store = try await fixture.reopen(store)
            try law.expectEqual(try await fixture.counter("n", of: store), 1, "the read model after a failed commit")
            let offsets = try await store.offsets(of: "p").map(\.offset.position.rawValue)
            try law.expectEqual(offsets, [1], "the offset after a failed commit")
            try await store.commit(commit(2)) { try fixture.count("n", in: $0) }
            store = try await fixture.reopen(store)
            try law.expectEqual(try await fixture.counter("n", of: store), 2, "the read model")
            let moved = try await store.offsets(of: "p").map(\.offset.position.rawValue)
            try law.expectEqual(moved, [2], "the offset")
        },
        StoreLaw(5, "a runner of an older generation cannot commit") { fixture, law in
            let store = try await fixture.makeStore()
            func commit(_ position: Int64, _ generation: UInt64) -> OffsetCommit {
                OffsetCommit(
                    projection: "p",
                    committed: CommittedOffset(
                        shard: Shard(0), offset: Offset(position: Position(position)), generation: generation,
                        timestamp: law.start))
            }
            try await store.commit(commit(5, 2), with: nil)
            try await law.expectError(.fenced, "a commit of generation 1 after 2") {
                try await store.commit(commit(9, 1)) { try fixture.count("late", in: $0) }
            }
            try law.expectEqual(try await fixture.counter("late", of: store), 0, "the late runner's read model")
            try await store.commit(commit(3, 3), with: nil)
            let offsets = try await store.offsets(of: "p")
            try law.expectEqual(offsets.map(\.offset.position.rawValue), [3], "the offset")
            try law.expectEqual(offsets.map(\.generation), [3], "the generation")
        },
        StoreLaw(nil, "projections are listed, kept apart and forgotten") { fixture, law in
            let store = try await fixture.makeStore()
            for (projection, shard) in [("b", 0), ("b", 1), ("a", 0)] as [(String, UInt64)] {
                try await store.commit(
                    OffsetCommit(
                        projection: projection,
                        committed: CommittedOffset(
                            shard: Shard(shard), offset: Offset(position: Position(Int64(shard) + 7)), generation: 1,
                            timestamp: law.start)),
                    with: nil)
            }
            try law.expectEqual(try await store.projections(), ["a", "b"], "the projections")
            let shards = try await store.offsets(of: "b").map(\.shard.rawValue)
            try law.expectEqual(shards, [0, 1], "the shards of b")
            try law.expectEqual(try await store.offsets(of: "c"), [], "the offsets of a projection that never ran")
            try await store.forgetOffsets(of: "b")
            try await store.forgetOffsets(of: "b")
            try law.expectEqual(try await store.projections(), ["a"], "the projections after one was forgotten")
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
                let committed = CommittedOffset(
                    shard: third.shard, offset: offset, generation: 1, timestamp: law.start)
                try await store.commit(OffsetCommit(projection: projection, committed: committed), with: nil)
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
            let outcomes = try await store.append([
                law.append(1, to: id, expecting: .exact(1), command: command),
                law.append(1, to: id, expecting: .exact(2), command: command),
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
