-- Health of a LiteLLMRoute or an OpenClawAgent, from its conditions (kstatus: Ready, Reconciling, Stalled).
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
    if condition.status == "True" then
      health.status = "Healthy"
    end
  end
end
for _, condition in ipairs(obj.status.conditions or {}) do
  if condition.type == "Stalled" and condition.status == "True" then
    health.status = "Degraded"
    health.message = condition.reason .. ": " .. condition.message
  end
end
if obj.spec.suspend == true and health.status == "Healthy" then
  health.status = "Suspended"
end
return health
