-- A request that differs from the one before in its path, its query, its cookie and two more fields, as requests do that
-- come through a proxy. Put together by hand: wrk.format takes so long that wrk, not the server, would be measured.
local sent = 0
local between

function init(arguments)
  local lines = { "Host: " .. wrk.headers["Host"] }
  for name, value in pairs(wrk.headers) do
    if name ~= "Host" then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  between = " HTTP/1.1\r\n" .. table.concat(lines, "\r\n") .. "\r\nCookie: theme=dark; session=5f0c2b9e"
end

function request()
  sent = sent + 1
  local n = tostring(sent)
  return "GET /users/" .. n .. "/orders?page=" .. n .. "&sort=date" .. between .. n
    .. "\r\nX-Request-ID: 7d1f4a60-" .. n .. "\r\nX-Forwarded-For: 203.0.113.7, 10.0." .. n .. "\r\n\r\n"
end
