SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.ego_audit (
    number bigint NOT NULL,
    "timestamp" bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    arguments text NOT NULL,
    reason text NOT NULL,
    result text NOT NULL,
    previous_hash text NOT NULL,
    hash text NOT NULL
);
CREATE TABLE public.ego_commands (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    command_id text NOT NULL COLLATE pg_catalog."C",
    before bigint NOT NULL,
    after bigint NOT NULL
);
CREATE TABLE public.ego_entities (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    kind text,
    shard bigint,
    floor bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.ego_holds (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    reason text NOT NULL,
    placed_at bigint NOT NULL
);
CREATE TABLE public.ego_jobs (
    id text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL,
    state text NOT NULL,
    arguments text NOT NULL,
    checkpoint text NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
CREATE TABLE public.ego_keys (
    id text NOT NULL COLLATE pg_catalog."C",
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    wrapped bytea,
    created_at bigint NOT NULL
);
CREATE TABLE public.ego_leases (
    name text NOT NULL COLLATE pg_catalog."C",
    owner text,
    generation bigint NOT NULL,
    acquired_at bigint NOT NULL,
    expires_at bigint NOT NULL
);
CREATE TABLE public.ego_metadata (
    key text NOT NULL,
    value text NOT NULL
);
CREATE TABLE public.ego_offsets (
    projection text NOT NULL COLLATE pg_catalog."C",
    shard bigint NOT NULL,
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    generation bigint NOT NULL,
    "timestamp" bigint NOT NULL
);
CREATE SEQUENCE public.ego_position
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
CREATE TABLE public.ego_tombstones (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    erased_at bigint NOT NULL
);
CREATE TABLE public.ego_trimmed (
    only_row boolean NOT NULL,
    transaction_id xid8 NOT NULL,
    "position" bigint NOT NULL,
    CONSTRAINT ego_trimmed_only_row_check CHECK (only_row)
);
CREATE TABLE public.events_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    is_deleted boolean DEFAULT false NOT NULL,
    event_payload bytea NOT NULL,
    event_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    shard_number bigint NOT NULL,
    encryption_key_id character varying(255) DEFAULT ''::character varying NOT NULL,
    is_encrypted boolean DEFAULT false NOT NULL,
    transaction_id xid8 DEFAULT pg_current_xact_id(),
    "position" bigint DEFAULT nextval('public.ego_position'::regclass),
    metadata bytea,
    unknown_fields bytea
);
CREATE TABLE public.offsets_store (
    projection_name character varying(255) NOT NULL,
    shard_number bigint NOT NULL,
    current_offset bigint NOT NULL,
    "timestamp" bigint NOT NULL
);
CREATE TABLE public.snapshots_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    sequence_number bigint NOT NULL,
    state_payload bytea NOT NULL,
    state_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    encryption_key_id character varying(255) DEFAULT ''::character varying NOT NULL,
    is_encrypted boolean DEFAULT false NOT NULL
);
CREATE TABLE public.states_store (
    persistence_id character varying(255) NOT NULL COLLATE pg_catalog."C",
    version_number bigint NOT NULL,
    state_payload bytea NOT NULL,
    state_manifest character varying(255) NOT NULL,
    "timestamp" bigint NOT NULL,
    shard_number bigint NOT NULL,
    metadata bytea
);
INSERT INTO public.ego_entities VALUES ('acc-1', 'account', 1, 0);
INSERT INTO public.ego_entities VALUES ('acc-2', 'account', 15, 0);
INSERT INTO public.ego_entities VALUES ('acc-3', 'account', 9, 0);
INSERT INTO public.ego_metadata VALUES ('schema_version', '1');
INSERT INTO public.ego_metadata VALUES ('store_id', '68bd94d6-9b63-4bdb-838d-eded0ede8b38');
INSERT INTO public.ego_metadata VALUES ('shard_count', '16');
INSERT INTO public.ego_metadata VALUES ('origin', 'ego');
INSERT INTO public.ego_metadata VALUES ('ordered', 'true');
INSERT INTO public.ego_offsets VALUES ('old', 0, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 1, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 2, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 3, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 4, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 5, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 6, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 7, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 8, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 9, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 10, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 11, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 12, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 13, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 14, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_offsets VALUES ('old', 15, '5', 0, 3, 1767225600000000000);
INSERT INTO public.ego_trimmed VALUES (true, '0', 0);
INSERT INTO public.events_store VALUES ('acc-1', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d3111c3f5285c8fb48140', 'google.protobuf.Any', 1767225600000000000, 1, '', false, '2901', 1, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 2, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31115c8fc2f528587e40', 'google.protobuf.Any', 1767225601000000000, 1, '', false, '2901', 2, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 3, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31113333333333d77740', 'google.protobuf.Any', 1767225602000000000, 1, '', false, '2901', 3, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 4, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111b81e85eb51d86140', 'google.protobuf.Any', 1767225603000000000, 1, '', false, '2901', 4, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 5, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111ec51b81e85eb7240', 'google.protobuf.Any', 1767225604000000000, 1, '', false, '2901', 5, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 6, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d311148e17a14ae3f6b40', 'google.protobuf.Any', 1767225605000000000, 1, '', false, '2901', 6, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 7, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31117b14ae47e17a7940', 'google.protobuf.Any', 1767225606000000000, 1, '', false, '2901', 7, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 8, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31111f85eb51b87e4040', 'google.protobuf.Any', 1767225607000000000, 1, '', false, '2901', 8, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 9, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d311148e17a14aec74e40', 'google.protobuf.Any', 1767225608000000000, 1, '', false, '2901', 9, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 10, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d31115c8fc2f5281c7040', 'google.protobuf.Any', 1767225609000000000, 1, '', false, '2901', 10, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 11, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31110000000000706b40', 'google.protobuf.Any', 1767225612000000000, 1, '', false, '2901', 11, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 12, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3111ec51b81e85ef7b40', 'google.protobuf.Any', 1767225617000000000, 1, '', false, '2901', 12, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 13, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d31113333333333735040', 'google.protobuf.Any', 1767225618000000000, 1, '', false, '2901', 13, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 14, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d31111f85eb51b8f27d40', 'google.protobuf.Any', 1767225621000000000, 1, '', false, '2901', 14, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 15, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d311185eb51b81e052640', 'google.protobuf.Any', 1767225624000000000, 1, '', false, '2901', 15, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 16, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111d7a3703d0a375440', 'google.protobuf.Any', 1767225625000000000, 1, '', false, '2901', 16, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-1', 17, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3111a4703d0ad76b6a40', 'google.protobuf.Any', 1767225629000000000, 1, '', false, '2901', 17, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d32110000000000e04540', 'google.protobuf.Any', 1767225610000000000, 15, '', false, '2901', 18, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 2, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32117b14ae47e1ae7240', 'google.protobuf.Any', 1767225611000000000, 15, '', false, '2901', 19, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 3, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d32113d0ad7a370fd7040', 'google.protobuf.Any', 1767225613000000000, 15, '', false, '2901', 20, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 4, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3211713d0ad7a3e47440', 'google.protobuf.Any', 1767225614000000000, 15, '', false, '2901', 21, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 5, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32115c8fc2f5288c5d40', 'google.protobuf.Any', 1767225615000000000, 15, '', false, '2901', 22, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 6, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d32111f85eb51b83a7a40', 'google.protobuf.Any', 1767225616000000000, 15, '', false, '2901', 23, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 7, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32117b14ae47e19a6840', 'google.protobuf.Any', 1767225619000000000, 15, '', false, '2901', 24, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 8, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3211b81e85eb51184140', 'google.protobuf.Any', 1767225622000000000, 15, '', false, '2901', 25, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 9, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32118fc2f5285c837640', 'google.protobuf.Any', 1767225623000000000, 15, '', false, '2901', 26, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-2', 10, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d32110000000000807340', 'google.protobuf.Any', 1767225627000000000, 15, '', false, '2901', 27, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 1, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744372656174656412100a056163632d33116666666666f88240', 'google.protobuf.Any', 1767225620000000000, 9, '', false, '2901', 28, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 2, false, '\x0a2c747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e74437265646974656412100a056163632d3311cdcccccccc987540', 'google.protobuf.Any', 1767225626000000000, 9, '', false, '2901', 29, NULL, NULL);
INSERT INTO public.events_store VALUES ('acc-3', 3, false, '\x0a2b747970652e676f6f676c65617069732e636f6d2f73616d706c6570622e4163636f756e744465626974656412100a056163632d3311a4703d0ad7434b40', 'google.protobuf.Any', 1767225628000000000, 9, '', false, '2901', 30, NULL, NULL);
SELECT pg_catalog.setval('public.ego_position', 30, true);
ALTER TABLE ONLY public.ego_audit
    ADD CONSTRAINT ego_audit_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.ego_commands
    ADD CONSTRAINT ego_commands_pkey PRIMARY KEY (persistence_id, command_id);
ALTER TABLE ONLY public.ego_entities
    ADD CONSTRAINT ego_entities_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_holds
    ADD CONSTRAINT ego_holds_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_jobs
    ADD CONSTRAINT ego_jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ego_keys
    ADD CONSTRAINT ego_keys_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ego_leases
    ADD CONSTRAINT ego_leases_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.ego_metadata
    ADD CONSTRAINT ego_metadata_pkey PRIMARY KEY (key);
ALTER TABLE ONLY public.ego_offsets
    ADD CONSTRAINT ego_offsets_pkey PRIMARY KEY (projection, shard);
ALTER TABLE ONLY public.ego_tombstones
    ADD CONSTRAINT ego_tombstones_pkey PRIMARY KEY (persistence_id);
ALTER TABLE ONLY public.ego_trimmed
    ADD CONSTRAINT ego_trimmed_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.events_store
    ADD CONSTRAINT events_store_pkey PRIMARY KEY (persistence_id, sequence_number);
ALTER TABLE ONLY public.offsets_store
    ADD CONSTRAINT offsets_store_pkey PRIMARY KEY (projection_name, shard_number);
ALTER TABLE ONLY public.snapshots_store
    ADD CONSTRAINT snapshots_store_pkey PRIMARY KEY (persistence_id, sequence_number);
ALTER TABLE ONLY public.states_store
    ADD CONSTRAINT states_store_pkey PRIMARY KEY (persistence_id);
CREATE UNIQUE INDEX ego_events_order ON public.events_store USING btree (transaction_id, "position");
CREATE INDEX ego_keys_entity ON public.ego_keys USING btree (persistence_id);
GRANT USAGE ON SEQUENCE public.ego_position TO PUBLIC;
