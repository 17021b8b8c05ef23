// Express with a plain driver: a signature checked, one row updated a receipt, answered once that is committed.
// node express.js PORT DATABASE_HOST USER DATABASE SECRET, with NODE_PATH naming a node_modules with `express` and `pg`.
const crypto = require('crypto')
const express = require('express')
const { Pool } = require('pg')

const [port, host, user, database, secret] = process.argv.slice(2)
const pool = new Pool({ host, user, database, max: 10 })
const app = express()
app.use(express.raw({ type: '*/*', limit: '1mb' }))

app.post('/receipt', async (request, response) => {
  const given = Buffer.from((request.get('X-Mitto-Signature') || '').replace('sha256=', ''), 'hex')
  const expected = crypto.createHmac('sha256', secret).update(request.body).digest()
  if (given.length !== expected.length || !crypto.timingSafeEqual(given, expected)) return response.sendStatus(401)
  const receipt = JSON.parse(request.body)
  const changed = await pool.query({
    name: 'receive',
    text: 'UPDATE peer_messages SET state = $2, delivered_at = $3 WHERE provider_message_id = $1',
    values: [receipt.messageId, receipt.deliveryStatus, receipt.updatedAt],
  })
  response.json({ ok: true, accepted: changed.rowCount })
})

app.listen(Number(port), '127.0.0.1')
