-- Health of a LiteLLMKeyRotation: it is at work as a Job is, and healthy when it is done.
local health = { status = "Progressing", message = "Waits for the operator." }
if obj.metadata.deletionTimestamp ~= nil then
  health.message = "Is being deleted."
  return health
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.type == "Ready" then
    health.message = condition.message
  end
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    health.status = "Degraded"
    health.message = condition.reason .. ": " .. condition.message
    return health
  end
end
if obj.status.phase == "Completed" then
  health.status = "Healthy"
elseif obj.status.phase == "Failed" or obj.status.phase == "Stopped" then
  health.status = "Degraded"
elseif obj.status.phase == "Suspended" then
  health.status = "Suspended"
end
return health
