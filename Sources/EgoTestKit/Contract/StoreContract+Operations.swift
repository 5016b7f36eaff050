import EgoCore

extension StoreContract {
    static let operatorLaws = [
        StoreLaw(4, "entities are listed by key, filtered and counted") { fixture, law in
            let store = try await fixture.makeStore()
            for name in ["b-2", "a-1", "b-1", "c%_1"] {
                _ = try await store.append([law.append(2, to: try law.id(name))])
            }
            _ = try await store.save([
                StateWrite(
                    persistenceID: try law.id("w-1"), kind: "wallet", expectedVersion: 0, timestamp: law.start,
                    payload: law.event(1).payload)
            ])
            func names(_ query: EntityQuery) async throws -> [String] {
                try await store.entities(query).map(\.persistenceID.rawValue)
            }
            try law.expectEqual(
                try await names(EntityQuery()), ["a-1", "b-1", "b-2", "c%_1", "w-1"], "all entities")
            try law.expectEqual(try await names(EntityQuery(prefix: "b-")), ["b-1", "b-2"], "those of a prefix")
            try law.expectEqual(try await names(EntityQuery(prefix: "%")), [], "those of a prefix with a wildcard")
            try law.expectEqual(try await names(EntityQuery(kind: "wallet")), ["w-1"], "those of a kind")
            try law.expectEqual(
                try await names(EntityQuery(after: try law.id("b-1"), limit: 2)), ["b-2", "c%_1"], "a page")
            let shard = try await store.entities(EntityQuery(prefix: "a-1"))[0].shard
            try law.expect(
                try await names(EntityQuery(shard: shard)).contains("a-1"), "an entity is missing in its shard")
            let first = try await store.entities(EntityQuery(limit: 1, countsEvents: true))[0]
            try law.expectEqual(first.eventCount, 2, "the number of events")
            try law.expectEqual(first.sequenceNumber, 2, "the sequence number")
            try law.expectEqual(first.firstTimestamp, law.event(1).timestamp, "the first timestamp")
            try law.expectEqual(first.lastTimestamp, law.event(2).timestamp, "the last timestamp")
            let last = try await store.events(of: try law.id("a-1"), from: 2, through: 2, limit: .standard).first
            try law.expectEqual(first.lastOffset, last?.offset, "the place of the last event")
            try law.expectEqual(first.hasSnapshots, false, "whether there is a snapshot")
            try law.expectEqual(first.floor, 0, "the floor")
            try law.expectEqual(first.erasedAt, nil, "when it was erased")
            var uncounted = first
            (uncounted.eventCount, uncounted.firstTimestamp) = (nil, nil)
            try law.expectEqual(
                try await store.entities(EntityQuery(limit: 1)), [uncounted], "an entity whose events are not counted")
            let state = try await store.entities(EntityQuery(prefix: "w-1"))[0]
            try law.expectEqual(state.lastOffset, nil, "the place of the last event where there is none")
            let counts = try await store.statistics()
            try law.expectEqual(counts.entities, 5, "the number of entities")
            try law.expectEqual(counts.events, 8, "the number of events")
            try law.expectEqual(counts.durableStates, 1, "the number of durable states")
            let id = try law.id("a-1")
            try await store.save(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: 2, timestamp: law.start, payload: law.event(1).payload))
            _ = try await store.commit([.deleteEvents(of: id, through: 2)], under: nil)
            let trimmed = try await store.entities(EntityQuery(limit: 1))[0]
            try law.expectEqual(trimmed.floor, 2, "the floor after events were deleted")
            try law.expectEqual(trimmed.lastOffset, nil, "the place of the last event after all were deleted")
            try law.expectEqual(trimmed.hasSnapshots, true, "whether there is a snapshot after one was saved")
            let gone = try law.id("b-1")
            _ = try await store.commit(
                [
                    .deleteEvents(of: gone, through: 2),
                    .placeTombstone(Tombstone(persistenceID: gone, sequenceNumber: 2, erasedAt: law.start)),
                ], under: nil)
            try law.expectEqual(
                try await store.entities(EntityQuery(prefix: "b-1"))[0].erasedAt, law.start, "when it was erased")
        },
        StoreLaw(nil, "changes are made together, and only under a lease that is held") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            _ = try await store.append([law.append(5, to: id)])
            let first = try await store.acquireLease("retain", owner: "one", for: .seconds(60), now: law.start)
            try await law.expectError(.leaseHeld, "a lease that another owner holds") {
                _ = try await store.acquireLease(
                    "retain", owner: "two", for: .seconds(60), now: law.start.advanced(by: .seconds(59)))
            }
            let renewed = try await store.renew(first, for: .seconds(60), now: law.start.advanced(by: .seconds(30)))
            try law.expectEqual(renewed.expiresAt, law.start.advanced(by: .seconds(90)), "the renewed lease's end")
            let second = try await store.acquireLease(
                "retain", owner: "two", for: .seconds(60), now: law.start.advanced(by: .seconds(90)))
            try law.expect(second.generation > first.generation, "the generation did not grow")
            try await law.expectError(.fenced, "a change under a lost lease") {
                _ = try await store.commit([.deleteEvents(of: id, through: 5)], under: first)
            }
            try await law.expectError(.fenced, "renewing a lost lease") {
                _ = try await store.renew(first, for: .seconds(60), now: law.start)
            }
            try law.expectEqual(try await law.stream(id, of: store).count, 5, "the events after a refused change")
            try await store.release(first)
            try law.expectEqual(try await store.leases().map(\.owner), ["two"], "the holders")
            let job = Job(
                id: "j", kind: "retain", state: .running, arguments: "{}", checkpoint: "1", createdAt: law.start,
                updatedAt: law.start)
            let counts = try await store.commit(
                [
                    .deleteEvents(of: id, through: 3), .saveJob(job),
                    .saveSnapshot(
                        StoredSnapshot(
                            persistenceID: id, sequenceNumber: 3, timestamp: law.start, payload: law.event(3).payload)),
                ], under: second)
            try law.expectEqual(counts, [3, 1, 1], "the numbers of changed rows")
            try law.expectEqual(try await store.job("j"), job, "the job")
            try await store.release(second)
            try law.expectEqual(try await store.leases(), [], "the leases after they were released")
        },
        StoreLaw(nil, "the audit log is a chain, and jobs are kept") { fixture, law in
            var store = try await fixture.makeStore()
            for number in 1...3 {
                let entry = AuditEntry(
                    timestamp: law.start, actor: "ops", action: "erase \(number)", arguments: "{}", reason: "asked",
                    result: "{}")
                _ = try await store.commit([.audit(entry)], under: nil)
            }
            store = try await fixture.reopen(store)
            let log = try await store.audit(after: 0, limit: 10)
            try law.expectEqual(log.map(\.number), [1, 2, 3], "the numbers of the records")
            var previous = AuditRecord.firstPreviousHash
            for record in log {
                try law.expectEqual(record.previousHash, previous, "the previous hash of record \(record.number)")
                try law.expect(record.isIntact, "record \(record.number) is not intact")
                previous = record.hash
            }
            try law.expectEqual(try await store.audit(after: 2, limit: 10).map(\.number), [3], "the end of the log")
            for number in 1...2 {
                let job = Job(
                    id: "j\(number)", kind: "k", state: .done, arguments: "{}", checkpoint: "",
                    createdAt: law.start.advanced(by: .seconds(number)), updatedAt: law.start)
                _ = try await store.commit([.saveJob(job)], under: nil)
            }
            try law.expectEqual(try await store.jobs().map(\.id), ["j2", "j1"], "the jobs, newest first")
            try law.expectEqual(try await store.job("nope"), nil, "a job that is not there")
        },
        StoreLaw(1, "added events are there together or not at all, as they were") { fixture, law in
            var store = try await fixture.makeStore()
            let (id, other) = (try law.id("a"), try law.id("b"))
            let command = try law.command("c")
            func event(
                _ number: UInt64, of id: PersistenceID, _ command: CommandID? = nil
            ) -> PersistedEvent {
                PersistedEvent(
                    persistenceID: id, sequenceNumber: SequenceNumber(number),
                    timestamp: law.event(Int(number)).timestamp,
                    shard: Shard(999), manifest: "m\(number)", payload: law.event(Int(number)).payload,
                    encryptionKeyID: "k", isEncrypted: number == 2, metadata: EventMetadata(commandID: command),
                    unknownFields: [42, UInt8(number)])
            }
            let first = [event(1, of: id, command), event(2, of: id, command), event(5, of: other)]
            try law.expectEqual(
                try await store.commit([.addEvents(first)], under: nil), [3], "the number of added events")
            try law.expectEqual(
                try await store.commit([.recordKind("k", of: id), .recordKind("j", of: id)], under: nil), [1, 0],
                "the number of recorded kinds")
            // One that does not follow takes everything with it, whatever stands before it.
            let job = Job(
                id: "import", kind: "import", state: .running, arguments: "{}", checkpoint: "9", createdAt: law.start,
                updatedAt: law.start)
            for wrong in [event(1, of: id), event(2, of: id), event(4, of: id), event(7, of: other)] {
                try await law.expectError(.conflict, "an event that does not follow") {
                    _ = try await store.commit(
                        [.saveJob(job), .addEvents([event(1, of: law.id("new")), wrong])], under: nil)
                }
            }
            store = try await fixture.reopen(store)
            try law.expectEqual(
                try await store.stream(of: law.id("new"))?.last ?? .zero, .zero, "an event of a failed commit")
            try law.expectEqual(try await store.job("import"), nil, "the job of a failed commit")
            try law.expectEqual(try await store.statistics().events, 3, "the number of events")
            let stored = try await store.events(of: id, from: 1, through: .max, limit: .standard)
            for (stored, added) in zip(stored, first) {
                var expected = added
                (expected.offset, expected.shard) = (stored.offset, stored.shard)
                try law.expectEqual(stored, expected, "event \(added.sequenceNumber)")
                try law.expect(stored.shard != Shard(999), "the shard has to be this store's own")
            }
            try law.expectEqual(try await store.stream(of: id)?.kind, "k", "the kind")
            try law.expectEqual(
                try await store.command(command, of: id), CommandRecord(commandID: command, before: 0, after: 2),
                "the command of the added events")
            let info = try await store.stream(of: other)
            try law.expectEqual(info?.floor, 4, "the floor below the first event that was added")
            _ = try await store.append([law.append(1, to: other)])
            try law.expectEqual(try await store.stream(of: other)?.last, 6, "the number after added events")
            // An erased entity takes nothing.
            let tombstone = Tombstone(persistenceID: id, sequenceNumber: 2, erasedAt: law.start)
            _ = try await store.commit([.placeTombstone(tombstone), .deleteEvents(of: id, through: .max)], under: nil)
            try law.expectEqual(
                try await store.commit([.addEvents([event(3, of: id)])], under: nil), [0], "events of an erased entity")
        },
        StoreLaw(nil, "an added state is there as it was, unless there is one") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("w")
            let command = try law.command("c")
            var state = StoredState(
                persistenceID: id, version: 7, timestamp: law.start, shard: Shard(0), payload: law.event(1).payload,
                metadata: EventMetadata(commandID: command))
            try law.expectEqual(
                try await store.commit([.addState(state), .addState(state)], under: nil), [1, 0], "the added states")
            let stored = try await store.state(of: id)
            state.shard = stored?.shard ?? state.shard
            try law.expectEqual(stored, state, "the state")
            try law.expectEqual(
                try await store.command(command, of: id), CommandRecord(commandID: command, before: 6, after: 7),
                "the command of the added state")
        },
        StoreLaw(nil, "a store that is whole has no flaws") { fixture, law in
            let store = try await fixture.makeStore()
            _ = try await store.append([law.append(3, to: try law.id("a"))])
            try law.expectEqual(try await store.flaws(isThorough: false), [], "the flaws at a look")
            try law.expectEqual(try await store.flaws(isThorough: true), [], "the flaws")
        },
        StoreLaw(nil, "an entity with both events and a durable state is a hazard, and nothing else here") {
            fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            let now = law.start.advanced(by: .seconds(10))
            _ = try await store.append([law.append(3, to: id), law.append(3, to: try law.id("b"))])
            let codes = try await store.hazards(now: now, isThorough: true).map(\.code)
            try law.expect(!codes.contains("both_kinds_of_state"), "a store without hazards has \(codes)")
            let write = StateWrite(
                persistenceID: id, expectedVersion: 0, timestamp: law.start, payload: law.event(1).payload)
            _ = try await store.save([write])
            let found = try await store.hazards(now: now, isThorough: true).filter { $0.code == "both_kinds_of_state" }
            try law.expectEqual(found, [.bothKindsOfState(count: 1, first: id)], "the hazards")
            try law.expectEqual(try await store.timestampOffsets(), [], "the offsets of eGo for Go")
        },
        StoreLaw(nil, "a reader at the head is woken by an append, and by the time it gave") { fixture, law in
            let store = try await fixture.makeStore()
            let writer = try await fixture.second(store)
            let head = try await store.head()
            let clock = ContinuousClock()
            let idle = try await clock.measure { try await store.awaitAppend(after: head, timeout: .milliseconds(50)) }
            try law.expect(idle >= .milliseconds(50), "a reader was woken after \(idle) by nothing")
            let start = clock.now
            async let waiting: Void = store.awaitAppend(after: head, timeout: .seconds(30))
            _ = try await writer.append([law.append(1, to: try law.id("a"))])
            try await waiting
            let woken = clock.now - start
            try law.expect(woken < .seconds(20), "a reader was woken \(woken) after an append")
        },
        StoreLaw(6, "an erased entity takes nothing and keeps its number") { fixture, law in
            var store = try await fixture.makeStore()
            let id = try law.id("a")
            let command = try law.command("c")
            _ = try await store.append([law.append(3, to: id, command: command)])
            let tombstone = Tombstone(persistenceID: id, sequenceNumber: 3, erasedAt: law.start)
            _ = try await store.commit(
                [.placeTombstone(tombstone), .deleteEvents(of: id, through: .max)], under: nil)
            store = try await fixture.reopen(store)
            try law.expectEqual(try await store.append([law.append(1, to: id)]), [.erased], "an append")
            try law.expectEqual(
                try await store.append([law.append(1, to: id, command: command)]), [.erased], "a retried command")
            let write = StateWrite(
                persistenceID: id, expectedVersion: 0, timestamp: law.start, payload: law.event(1).payload)
            try law.expectEqual(try await store.save([write]), [.erased], "a durable state")
            try await store.save(
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: 3, timestamp: law.start, payload: law.event(3).payload))
            try law.expectEqual(
                try await store.latestSnapshot(of: id, through: .max), nil, "a snapshot after the erasure")
            let info = try await store.stream(of: id)
            try law.expectEqual(info?.isErased, true, "the mark of erasure")
            try law.expectEqual(info?.last, 3, "the last sequence number")
            try law.expectEqual(try await store.tombstone(of: id), tombstone, "the tombstone")
            try law.expectEqual(try await store.command(command, of: id), nil, "the remembered command")
        },
        StoreLaw(nil, "legal holds are placed, replaced and released") { fixture, law in
            let store = try await fixture.makeStore()
            func hold(_ name: String, _ reason: String) throws -> LegalHold {
                LegalHold(persistenceID: try law.id(name), reason: reason, placedAt: law.start)
            }
            _ = try await store.commit(
                [.placeHold(try hold("b", "x")), .placeHold(try hold("a", "x")), .placeHold(try hold("b", "y"))],
                under: nil)
            try law.expectEqual(
                try await store.holds(), [try hold("a", "x"), try hold("b", "y")], "the holds")
            let counts = try await store.commit(
                [.releaseHold(of: try law.id("b")), .releaseHold(of: try law.id("b"))], under: nil)
            try law.expectEqual(counts, [1, 0], "the numbers of released holds")
            try law.expectEqual(try await store.holds().map(\.reason), ["x"], "the holds after one was released")
        },
        StoreLaw(nil, "a closed store refuses") { fixture, law in
            let store = try await fixture.makeStore()
            await store.close()
            try await law.expectError(.closed, "an append to a closed store") {
                _ = try await store.append([law.append(1, to: try law.id("a"))])
            }
            try await law.expectError(.closed, "a read of a closed store") { _ = try await store.head() }
        },
    ]
}
