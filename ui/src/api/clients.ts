import { createClient } from "@connectrpc/connect";
import { ApiTokenService, AuditService, SessionService, UserService } from "~/gen/cnnf/v1/access_pb";
import {
  DefinitionService,
  EventService,
  FleetService,
  ModelService,
  PolicyService,
  SettingsService,
  StatusService,
  TopologyService,
} from "~/gen/cnnf/v1/admin_pb";
import { ChannelService } from "~/gen/cnnf/v1/channel_pb";
import { WatchService } from "~/gen/cnnf/v1/watch_pb";
import { transport } from "./transport";

/** One client for each service of the API; every call is a promise of the answer's message. */
export const status = createClient(StatusService, transport);
export const topology = createClient(TopologyService, transport);
export const policy = createClient(PolicyService, transport);
export const models = createClient(ModelService, transport);
export const events = createClient(EventService, transport);
export const fleet = createClient(FleetService, transport);
export const settings = createClient(SettingsService, transport);
export const definitions = createClient(DefinitionService, transport);
export const session = createClient(SessionService, transport);
export const users = createClient(UserService, transport);
export const apiTokens = createClient(ApiTokenService, transport);
export const channels = createClient(ChannelService, transport);
export const audit = createClient(AuditService, transport);
export const watch = createClient(WatchService, transport);
