import EgoCore

extension StoreContract {
    static let recordLaws = [
        StoreLaw(nil, "a record comes back as it was given") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("it's \"quoted\"\n\t\u{1b}[31m é 漢字 👩‍👩‍👧 \u{202e}")
            let metadata = EventMetadata(
                commandID: try law.command("c"), correlationID: "é", causationID: "\n",
                traceContext: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            let events = [
                NewEvent(
                    timestamp: Timestamp(unixNanoseconds: 1), manifest: "other", payload: [],
                    encryptionKeyID: "key-1", isEncrypted: true, unknownFields: [0x2a, 0x00]),
                NewEvent(timestamp: Timestamp(unixNanoseconds: .max), payload: Array(0...255)),
            ]
            _ = try await store.append([
                AppendRequest(
                    persistenceID: id, kind: "odd kind", expectedVersion: .noStream, events: events, metadata: metadata)
            ])
            let stored = try await law.stream(id, of: store)
            try law.expectEqual(stored.count, 2, "the number of events")
            for (event, given) in zip(stored, events) {
                let back = NewEvent(
                    timestamp: event.timestamp, manifest: event.manifest, payload: event.payload,
                    encryptionKeyID: event.encryptionKeyID, isEncrypted: event.isEncrypted,
                    unknownFields: event.unknownFields)
                try law.expectEqual(back, given, "event \(event.sequenceNumber)")
                try law.expectEqual(event.metadata, metadata, "the metadata of event \(event.sequenceNumber)")
                try law.expectEqual(event.persistenceID, id, "the persistence ID")
            }
            try law.expectEqual(try await law.journal(of: store), stored, "the journal")
            try law.expectEqual(try await store.stream(of: id)?.kind, "odd kind", "the kind")
        },
        StoreLaw(nil, "identifiers differ when their bytes do") { fixture, law in
            let store = try await fixture.makeStore()
            // Equal as Swift strings: the accent is one scalar in the first, two in the second.
            let (composed, decomposed) = (try law.id("caf\u{e9}"), try law.id("cafe\u{301}"))
            _ = try await store.append([law.append(1, to: composed), law.append(2, to: decomposed)])
            try law.expectEqual(try await law.stream(composed, of: store).count, 1, "the events of one")
            try law.expectEqual(try await law.stream(decomposed, of: store).count, 2, "the events of the other")
            let long = try law.id(String(repeating: "漢", count: 255))
            _ = try await store.append([law.append(1, to: long)])
            try law.expectEqual(try await law.stream(long, of: store).count, 1, "the events of a long ID")
            let listed = try await store.entities(EntityQuery()).map(\.persistenceID)
            try law.expectEqual(listed, [decomposed, composed, long], "the list of entities")
        },
        StoreLaw(nil, "an entity that never was has nothing") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("nobody")
            try law.expectEqual(try await store.stream(of: id), nil, "its stream")
            try law.expectEqual(try await law.stream(id, of: store), [], "its events")
            try law.expectEqual(try await store.state(of: id), nil, "its state")
            try law.expectEqual(try await store.latestSnapshot(of: id, through: .max), nil, "its snapshot")
            try law.expectEqual(try await store.head(), .start, "the head of an empty journal")
        },
    ]

    static let snapshotLaws = [
        StoreLaw(nil, "the newest snapshot at or before a number is found") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("a")
            func snapshot(_ number: SequenceNumber, _ byte: Int) -> StoredSnapshot {
                StoredSnapshot(
                    persistenceID: id, sequenceNumber: number, timestamp: law.start, payload: law.event(byte).payload)
            }
            for number: SequenceNumber in [20, 10, 30] { try await store.save(snapshot(number, 1)) }
            for (through, wanted) in [(9, nil), (10, 10), (29, 20), (1_000, 30)] as [(SequenceNumber, SequenceNumber?)]
            {
                let found = try await store.latestSnapshot(of: id, through: through)?.sequenceNumber
                try law.expectEqual(found, wanted, "the newest snapshot at \(through)")
            }
            try await store.save(snapshot(20, 2))
            let all = try await store.snapshots(of: id, from: 11, limit: .standard)
            try law.expectEqual(all, [snapshot(20, 2), snapshot(30, 1)], "the snapshots from 11 on")
            let first = try await store.snapshots(of: id, from: 1, limit: PageLimit(rows: 1))
            try law.expectEqual(first.map(\.sequenceNumber), [10], "a page of one snapshot")
            let deleted = try await store.commit([.deleteSnapshots(of: id, through: 20)], under: nil)
            try law.expectEqual(deleted, [2], "the number of deleted snapshots")
            let rest = try await store.snapshots(of: id, from: 1, limit: .standard)
            try law.expectEqual(rest.map(\.sequenceNumber), [30], "the snapshots after deleting")
        },
        StoreLaw(nil, "a history is the stream, its newest snapshot and the events after it") { fixture, law in
            let store = try await fixture.makeStore()
            let (id, nobody) = (try law.id("a"), try law.id("nobody"))
            try law.expectEqual(
                try await store.history(of: nobody, through: .max, limit: .standard)?.stream, nil, "nobody's history")
            func expect(
                _ snapshot: SequenceNumber?, _ numbers: ClosedRange<Int>?, of id: PersistenceID,
                through last: SequenceNumber = .max, rows: Int = 5_000, _ what: String
            ) async throws {
                let limit = PageLimit(rows: rows)
                let found = try await store.history(of: id, through: last, limit: limit)
                try law.expectEqual(found?.stream, try await store.stream(of: id), "the stream of \(what)")
                var wanted: StoredSnapshot?
                if let snapshot { wanted = try await store.latestSnapshot(of: id, through: snapshot) }
                try law.expectEqual(found?.snapshot, wanted, "the snapshot of \(what)")
                let range = numbers ?? 1...1
                let events = try await store.events(
                    of: id, from: SequenceNumber(UInt64(range.lowerBound)),
                    through: SequenceNumber(UInt64(range.upperBound)), limit: limit)
                try law.expectEqual(found?.events, numbers == nil ? [] : events, "the events of \(what)")
            }
            func save(_ number: SequenceNumber, of id: PersistenceID) async throws {
                try await store.save(
                    StoredSnapshot(
                        persistenceID: id, sequenceNumber: number, timestamp: law.start,
                        payload: law.event(Int(number.rawValue)).payload))
            }
            _ = try await store.append([law.append(30, to: id)])
            try await expect(nil, 1...30, of: id, "an entity without snapshots")
            for number: SequenceNumber in [10, 20, 40] { try await save(number, of: id) }
            try await expect(20, 21...30, of: id, "an entity with a snapshot ahead of its events")
            try await expect(10, 11...19, of: id, through: 19, "the first 19")
            try await expect(nil, 1...9, of: id, through: 9, "the first 9")
            try await expect(20, 21...23, of: id, rows: 3, "a page of 3")
            try await expect(20, nil, of: id, through: 20, "nothing after a snapshot")
            _ = try await store.commit([.deleteEvents(of: id, through: 30)], under: nil)
            try await expect(20, nil, of: id, "an entity whose events were deleted")
            let bare = try law.id("b")
            try await save(5, of: bare)
            try await expect(nil, nil, of: bare, "an entity of which there is only a snapshot")
        },
        StoreLaw(nil, "a history is of one moment") { fixture, law in
            let store = try await fixture.makeStore()
            let other = try await fixture.second(store)
            let id = try law.id("a")
            // Each round moves the end, the snapshot and the floor, one after the other.
            async let rounds: Void = {
                for round in 1...30 {
                    let last = SequenceNumber(UInt64(round) * 4)
                    _ = try await store.append([law.append(4, to: id)])
                    try await store.save(
                        StoredSnapshot(
                            persistenceID: id, sequenceNumber: last, timestamp: law.start, payload: law.event(1).payload
                        ))
                    _ = try await store.commit(
                        [
                            .deleteEvents(of: id, through: last),
                            .deleteSnapshots(of: id, through: SequenceNumber(last.rawValue - 1)),
                        ], under: nil)
                }
            }()
            for _ in 0..<100 {
                guard let found = try await other.history(of: id, through: .max, limit: .standard) else { continue }
                let start = found.snapshot?.sequenceNumber ?? .zero
                let numbers = found.events.map(\.sequenceNumber.rawValue)
                try law.expect(
                    found.stream.floor <= start
                        && numbers == Array(start.rawValue..<found.stream.last.rawValue).map { $0 + 1 },
                    "with the floor at \(found.stream.floor), the snapshot is \(start), the events are \(numbers), the last \(found.stream.last)"
                )
            }
            try await rounds
        },
    ]

    static let stateLaws = [
        StoreLaw(1, "a state's version is one more, and nobody is overwritten") { fixture, law in
            let store = try await fixture.makeStore()
            let id = try law.id("d")
            func write(_ version: SequenceNumber, _ byte: Int) -> StateWrite {
                StateWrite(
                    persistenceID: id, kind: "contract", expectedVersion: version, timestamp: law.start,
                    payload: law.event(byte).payload)
            }
            try law.expectEqual(
                try await store.save([write(1, 9)]), [.conflict(actual: 0)], "a write that skips a version")
            try law.expectEqual(try await store.save([write(0, 1)]), [.saved(version: 1)], "the first write")
            try law.expectEqual(try await store.save([write(1, 2)]), [.saved(version: 2)], "the second write")
            for wrong: SequenceNumber in [0, 1, 3] {
                try law.expectEqual(
                    try await store.save([write(wrong, 9)]), [.conflict(actual: 2)], "a write that expects \(wrong)")
            }
            let state = try await store.state(of: id)
            try law.expectEqual(state?.version, 2, "the version")
            try law.expectEqual(state?.payload, law.event(2).payload, "the payload")
            let outcomes = try await store.save([write(0, 9), write(2, 9)])
            try law.expectEqual(
                outcomes, [.conflict(actual: 2), .conflict(actual: 2)], "a group that begins with a conflict")
        },
        StoreLaw(1, "of many writers of a state's version, one wins") { fixture, law in
            let store = try await fixture.makeStore()
            let other = try await fixture.second(store)
            let id = try law.id("d")
            for version in 0..<5 {
                let won = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for writer in 0..<8 {
                        let store = writer.isMultiple(of: 2) ? store : other
                        group.addTask {
                            let outcome = try await store.save([
                                StateWrite(
                                    persistenceID: id, expectedVersion: SequenceNumber(UInt64(version)),
                                    timestamp: law.start, payload: law.event(writer).payload)
                            ])
                            if case .saved? = outcome.first { return true }
                            return false
                        }
                    }
                    return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                }
                try law.expectEqual(won, 1, "the number of writers that won at version \(version)")
            }
        },
    ]

    static let keyLaws = [
        StoreLaw(nil, "keys are added once, rewrapped together and destroyed for good") { fixture, law in
            let store = try await fixture.makeStore()
            let (a, b) = (try law.id("a"), try law.id("b"))
            func key(_ name: String, _ id: PersistenceID, _ seconds: Int, _ byte: UInt8 = 1) -> StoredKey {
                StoredKey(
                    id: name, persistenceID: id, wrapped: [byte, 2, 3],
                    createdAt: law.start.advanced(by: .seconds(seconds)))
            }
            try await store.add(key("k2", a, 2))
            try await store.add(key("k1", a, 1))
            try await store.add(key("k3", b, 3))
            try await law.expectError(.invalid, "a key ID used twice") { try await store.add(key("k1", b, 9)) }
            try law.expectEqual(try await store.keys(of: a).map(\.id), ["k1", "k2"], "the keys of an entity")
            try await law.expectError(.notFound, "rewrapping a key that is not there") {
                try await store.rewrap([key("k1", a, 1, 7), key("nope", a, 1, 7)])
            }
            try law.expectEqual(
                try await store.key("k1"), .key(key("k1", a, 1)), "a key after a failed rewrapping")
            try await store.rewrap([key("k1", a, 1, 7), key("k3", b, 3, 7)])
            try law.expectEqual(try await store.key("k3"), .key(key("k3", b, 3, 7)), "a rewrapped key")
            try law.expectEqual(try await store.destroyKeys(of: a), 2, "the number of destroyed keys")
            try law.expectEqual(try await store.destroyKeys(of: a), 0, "the number destroyed again")
            try law.expectEqual(try await store.key("k1"), .destroyed, "a destroyed key")
            try law.expectEqual(try await store.key("never"), nil, "a key that never was")
            try law.expectEqual(try await store.keys(of: a), [], "the keys of the entity")
            try law.expect(try await store.hadKey(a), "it is not known that the entity had a key")
            try law.expect(try await !store.hadKey(try law.id("c")), "an entity that never had a key had one")
            let listed = try await store.keys(after: nil, limit: 2)
            try law.expectEqual(listed.map(\.key.id), ["k1", "k2"], "a page of all keys")
            try law.expectEqual(listed.map(\.isDestroyed), [true, true], "which of them were destroyed")
            try law.expectEqual(
                try await store.keys(after: "k2", limit: 9).map(\.key), [key("k3", b, 3, 7)], "the next page")
            try await law.expectError(.invalid, "a destroyed key's ID used again") {
                try await store.add(key("k1", a, 9))
            }
        }
    ]
}
